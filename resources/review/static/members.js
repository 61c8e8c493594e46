// The labels of a set, each switched on or off by a click; hidden where an answer is one label.

import { find, make } from "./dom.js";

const list = find("member-list");
let shown = "";

export function setMembers(labels) {
  find("members").hidden = !labels.length;
  list.replaceChildren(
    ...labels.map((label) => {
      const button = make("button", { type: "button", "aria-pressed": "false" }, label);
      button.addEventListener("click", () => press(button, button.getAttribute("aria-pressed") !== "true"));
      return button;
    }),
  );
  showMembers(shown);
}

// Switches on the labels of a set, such as dark;warm.
export function showMembers(set) {
  shown = set;
  const members = set.split(";");
  for (const button of list.children) press(button, members.includes(button.textContent));
}

function press(button, isOn) {
  button.setAttribute("aria-pressed", String(isOn));
}

export function startMembers(answer, nothing) {
  find("members").addEventListener("submit", (event) => {
    event.preventDefault();
    const on = [...list.querySelectorAll('[aria-pressed="true"]')].map((button) => button.textContent);
    answer(on.join(";") || nothing);
  });
}
