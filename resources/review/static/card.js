// The image or the group in front of the reviewer.

import { imageAddress } from "./api.js";
import { find, make, percent } from "./dom.js";

const letters = "qwertyiopdfghjkzxv";
const stage = find("images");

function picture(size, image, text) {
  const element = make("img", { src: imageAddress(size, image.key), alt: text, decoding: "sync" });
  element.addEventListener("error", () => {
    element.replaceWith(make("p", { className: "missing" }, "This image cannot be shown: it was purged, or its file is gone, has changed or is damaged."));
  });
  return element;
}

function showOne(image) {
  const text = image.is_blind ? "Image of the audit" : "Image to label";
  const figures = [make("figure", {}, picture("large", image, text))];
  if (image.other_id) {
    const other = { key: `labelled/${image.other_id}` };
    figures[0].append(make("figcaption", {}, `filed as ${image.label}`));
    figures.push(
      make("figure", {}, picture("large", other, "Near-duplicate"), make("figcaption", {}, "its near-duplicate")),
    );
  }
  stage.className = image.other_id ? "pair" : "";
  stage.replaceChildren(...figures);
}

function showGroup(images) {
  stage.className = images.length > 8 ? "grid" : "grid few";
  stage.replaceChildren(
    ...images.map((image, place) => {
      const tile = make(
        "button",
        { type: "button", className: "tile", "aria-pressed": "true", "aria-label": `Image ${place + 1} of the group` },
        picture("small", image, ""),
        letters[place] ? make("span", { className: "text" }, make("kbd", {}, letters[place])) : null,
      );
      tile.dataset.key = image.key;
      tile.addEventListener("click", () => toggle(tile));
      return tile;
    }),
  );
}

function toggle(tile) {
  tile.setAttribute("aria-pressed", String(tile.getAttribute("aria-pressed") !== "true"));
}

export function toggleLetter(letter) {
  const tile = stage.querySelectorAll(".tile")[letters.indexOf(letter)];
  if (letter && letters.includes(letter) && tile) toggle(tile);
  return Boolean(tile);
}

export const isGroup = () => stage.classList.contains("grid");

// Keys of the images that the next answer is about.
export function chosen(card) {
  if (card.images.length === 1) return [card.images[0].key];
  return [...stage.querySelectorAll('.tile[aria-pressed="true"]')].map((tile) => tile.dataset.key);
}

export function showCard(card, answer) {
  if (card.images.length > 1) showGroup(card.images);
  else showOne(card.images[0]);
  const [first] = card.images;
  const where = first.day ? first.path : `labelled images: ${first.path}`;
  find("caption").textContent = card.images.length > 1 ? "Click or type the letter of every exception." : where;
  find("reason").textContent = describe(card);
  find("choices").replaceChildren(
    ...card.choices.map(({ label, probability }, place) => {
      const share = probability ? make("span", { className: "share" }, percent(probability)) : "";
      const hint = label === first.label ? make("span", { className: "share" }, "keep") : share;
      const name = make("span", { className: "name" }, label);
      const button = make("button", { type: "button" }, make("kbd", {}, String(place + 1)), name, hint);
      button.addEventListener("click", () => answer(label));
      return make("li", {}, button);
    }),
  );
}

function describe({ images }) {
  const [first] = images;
  if (images.length > 1) return `${images.length} images that look alike`;
  if (first.is_blind) return `Audit of ${first.day}: decide by the image alone`;
  return first.note || first.reason;
}

export function showEnd(text) {
  stage.className = "";
  stage.replaceChildren(make("p", { className: "missing" }, text));
  for (const id of ["caption", "reason"]) find(id).textContent = "";
  find("choices").replaceChildren();
}

// Loads the images of the next cards, so that they are there at once.
export function loadAhead(cards) {
  for (const card of cards) {
    for (const image of card.images) new Image().src = imageAddress(card.images.length > 1 ? "small" : "large", image.key);
  }
}

// Resolves when the images in front of the reviewer are drawn.
export const drawn = () =>
  Promise.all([...stage.querySelectorAll("img")].map((element) => element.decode().catch(() => null)));
