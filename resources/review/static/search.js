// The list of all labels: type a part of one, choose with the arrows, Enter answers. What is no label yet becomes one.

import { find, make } from "./dom.js";

const shown = 50;
const input = find("search");
const list = find("found");
const fold = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

let labels = [];
let options = [];
let place = 0;

export function setLabels(all) {
  labels = all.map((label) => ({ label, folded: fold(label) }));
}

function search() {
  const text = input.value.trim();
  const wanted = fold(text);
  const rank = ({ folded }) => (folded === wanted ? 0 : folded.startsWith(wanted) ? 1 : folded.includes(wanted) ? 2 : 3);
  const matches = labels.map((each) => [rank(each), each.label]).filter(([rank]) => rank < 3);
  matches.sort(([one], [other]) => one - other);
  options = matches.slice(0, shown).map(([, label]) => ({ label, text: label }));
  if (text && !labels.some(({ label }) => label === text)) options.push({ label: text, text: `New label: ${text}` });
  place = 0;
  draw();
}

function draw() {
  list.replaceChildren(
    ...options.map(({ text }, number) =>
      make("li", { role: "option", id: `option-${number}`, "aria-selected": String(number === place) }, text),
    ),
  );
  input.setAttribute("aria-expanded", String(options.length > 0));
  if (options.length) input.setAttribute("aria-activedescendant", `option-${place}`);
  else input.removeAttribute("aria-activedescendant");
  list.children[place]?.scrollIntoView({ block: "nearest" });
}

function clear() {
  input.value = "";
  options = [];
  draw();
}

export function startSearch(answer) {
  const choose = (number) => {
    const option = options[number];
    if (option) {
      input.blur();
      answer(option.label);
    }
  };
  input.addEventListener("input", search);
  input.addEventListener("focus", search);
  input.addEventListener("blur", clear);
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && options.length) {
      event.preventDefault();
      place = (place + step + options.length) % options.length;
      draw();
    } else if (event.key === "Escape") input.blur();
  });
  find("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    choose(place);
  });
  list.addEventListener("mousedown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => choose([...list.children].indexOf(event.target.closest("li"))));
}
