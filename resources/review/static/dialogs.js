// Dialogs: images like one, and images on which reviewers disagree.

import { get, imageAddress } from "./api.js";
import { find, make, percent } from "./dom.js";

const similar = find("similar-dialog");
const disagreements = find("disagreement-dialog");

export const isDialogOpen = () => similar.open || disagreements.open;

function describeMatch({ label, predicted_label: predicted, confidence, days, similarity }) {
  const what = label ?? (predicted ? `${predicted} ${percent(confidence)}` : "in the audit");
  return `${what} · ${label ? "labelled" : days.at(-1)} · ${similarity.toFixed(2)}`;
}

export async function openSimilar(key, labels) {
  find("similar-state").textContent = "Searching all days …";
  find("similar-images").replaceChildren();
  find("similar-labels").replaceChildren(...labels.slice(0, 2000).map((label) => make("option", { value: label })));
  similar.showModal();
  const found = await get(`/api/similar/${key}`);
  if (!found) {
    similar.close();
    return;
  }
  find("similar-state").textContent = `${found.similar.length} images, the most similar first. Tick those that are the same.`;
  find("similar-images").replaceChildren(
    ...found.similar.map((match) => {
      const image = make("img", { src: imageAddress("small", match.key), alt: "", loading: "lazy" });
      const text = make("span", { className: "text" }, describeMatch(match));
      const tile = make("button", { type: "button", className: "tile", "aria-pressed": "false", title: match.path }, image, text);
      tile.dataset.key = match.key;
      tile.addEventListener("click", () => tile.setAttribute("aria-pressed", String(tile.getAttribute("aria-pressed") !== "true")));
      return tile;
    }),
  );
}

export function startSimilar(answer) {
  find("similar-close").addEventListener("click", () => similar.close());
  find("similar-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const ticked = [...find("similar-images").querySelectorAll('[aria-pressed="true"]')].map((tile) => tile.dataset.key);
    const label = find("similar-label").value;
    if (!ticked.length) {
      find("similar-state").textContent = "Tick at least one image.";
      return;
    }
    similar.close();
    find("similar-label").value = "";
    answer(label, ticked);
  });
}

export async function openDisagreements(settle) {
  const found = await get("/api/disagreements");
  if (!found) return;
  find("disagreement-list").replaceChildren(
    ...found.disagreements.map(({ key, answers }) => {
      const said = answers.map(({ reviewer, label }) => `${reviewer}: ${label}`).join(" · ");
      const labels = [...new Set(answers.map(({ label }) => label))];
      const buttons = labels.map((label) => {
        const button = make("button", { type: "button" }, label);
        button.addEventListener("click", () => {
          row.remove();
          settle(label, [key]);
        });
        return button;
      });
      const image = make("img", { src: imageAddress("small", key), alt: `Image about which is said: ${said}` });
      const row = make("div", { className: "disagreement" }, image, make("div", {}, make("p", {}, said), ...buttons));
      return row;
    }),
  );
  if (!disagreements.open) disagreements.showModal();
}

find("disagreement-close").addEventListener("click", () => disagreements.close());
