// The page: keeps what is next, sends each answer, and shows the next image once the answer is stored.

import { get, post, say } from "./api.js";
import { chosen, drawn, isGroup, loadAhead, showCard, showEnd, toggleLetter } from "./card.js";
import { isDialogOpen, openDisagreements, openSimilar, startSimilar } from "./dialogs.js";
import { find, make, percent } from "./dom.js";
import { setMembers, showMembers, startMembers } from "./members.js";
import { setLabels, startSearch } from "./search.js";

const nothing = "(none)";
const cannotTell = "(cannot tell)";
const badImage = "(bad image)";
const reviewer = find("reviewer");
const address = new URL(location.href);

let card = null;
let labels = [];
let isBusy = false;

const view = () => ({
  reviewer: reviewer.value,
  is_grouped: find("grouped").checked,
  is_second: find("second").checked,
  day: find("day").value,
});

async function show(state) {
  if (!state) return;
  [card] = state.cards;
  find("waiting").textContent = `${state.waiting.toLocaleString("en")} images wait`;
  find("disagreements").hidden = !state.disagreements;
  find("disagreements").textContent = `${state.disagreements} disagreements`;
  showProgress(state.progress);
  if (card) showMembers(card.images[0].is_blind ? "" : (card.choices[0]?.label ?? ""));
  if (card) showCard(card, answer);
  else showEnd("All images of this queue are answered. Launch the training to learn from them.");
  loadAhead(state.cards.slice(1));
  await drawn();
  document.body.dataset.shown = card ? card.images.map(({ key }) => key).join(" ") : "end";
}

function showProgress(progress) {
  const points = (reach) => `± ${(reach * 100).toFixed(1)} points`;
  const lines = Object.entries(progress).map(([day, audit]) => {
    const done = `${day}: ${audit.answered_count} of ${audit.drawn_count} of the audit`;
    const known = audit.share === null ? "" : `, ${percent(audit.share)} right ${points(audit.reach)}`;
    const gain =
      audit.share === null
        ? `; 20 answers tell it to about ${points(audit.next_reach)}`
        : `; 20 more: ${points(audit.next_reach)}`;
    const isAll = audit.answered_count >= audit.drawn_count && day !== "all days";
    return make("p", {}, done + known + (isAll ? "; all are answered" : audit.is_known ? "; enough" : gain));
  });
  find("progress-days").replaceChildren(...lines);
}

async function load() {
  if (!reviewer.value.trim()) {
    showEnd("Type your name in the field above: it is stored with every answer.");
    reviewer.focus();
    return;
  }
  const fields = view();
  const query = new URLSearchParams({ ...fields, is_grouped: Number(fields.is_grouped), is_second: Number(fields.is_second) });
  await show(await get(`/api/queue?${query}`));
}

async function send(path, fields) {
  if (isBusy) return;
  isBusy = true;
  try {
    await show(await post(path, { ...view(), ...fields }));
  } finally {
    isBusy = false;
  }
}

async function answer(label, keys = card ? chosen(card) : [], settles = false) {
  if (!keys.length) {
    say("No image is ticked.");
    return;
  }
  await send("/api/answers", { keys, label, settles });
  if (!label.startsWith("(") && !labels.includes(label)) await loadLabels();
}

const skip = () => card && send("/api/skip", { keys: card.images.map(({ key }) => key) });
const undo = () => send("/api/undo", {});
const likeThis = () => card && openSimilar(card.images[0].key, labels);

const shortcuts = {
  "/": () => find("search").focus(),
  n: () => answer(nothing),
  c: () => answer(cannotTell),
  b: () => answer(badImage),
  s: skip,
  u: undo,
  m: likeThis,
};

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input:not([type=checkbox]), select");
  if (event.ctrlKey || event.altKey || event.metaKey || isTyping || isDialogOpen() || event.repeat) return;
  const choice = card?.choices[Number(event.key) - 1];
  const arrow = isGroup() ? null : { ArrowRight: skip, ArrowLeft: undo }[event.key];
  const action = choice ? () => answer(choice.label) : (shortcuts[event.key] ?? arrow);
  if (action) {
    event.preventDefault();
    action();
  } else if (isGroup()) toggleLetter(event.key);
});

async function loadLabels() {
  const found = await get("/api/labels");
  if (!found) return;
  labels = found.labels;
  setLabels(labels);
  setMembers(found.members ?? []);
  const day = find("day").value || address.searchParams.get("day") || "";
  find("day").replaceChildren(make("option", { value: "" }, "all"), ...found.days.map((each) => make("option", { value: each }, each)));
  find("day").value = found.days.includes(day) ? day : "";
}

for (const [id, action] of [
  ["none", shortcuts.n],
  ["cannot-tell", shortcuts.c],
  ["bad-image", shortcuts.b],
  ["skip", skip],
  ["undo", undo],
  ["similar", likeThis],
  ["disagreements", () => openDisagreements((label, keys) => answer(label, keys, true))],
]) {
  find(id).addEventListener("click", action);
}
for (const id of ["grouped", "second", "day"]) find(id).addEventListener("change", load);
reviewer.addEventListener("change", async () => {
  localStorage.setItem("daylight-reviewer", reviewer.value.trim());
  await load();
  document.activeElement.blur(); // the next key is an answer
});

reviewer.value = localStorage.getItem("daylight-reviewer") ?? "";
startSearch(answer);
startMembers(answer, nothing);
startSimilar(answer);
await loadLabels();
await load();
const asked = address.searchParams.get("image");
if (asked) openSimilar(asked, labels);
