// A mask painted over a photo. `element`, `props` and `watch` are Gradio's (gr.HTML): props.value is what
// web_page/photos.py makes, {name, photo, mask} with pictures as data URLs, or null; it goes back without the photo.
const COLOUR = "rgb(230, 57, 110)";
const MOST_UNDO = 20;
const find = (selector) => element.querySelector(selector);
const editor = find(".mask-editor"), frame = find(".canvas"), image = find("img"), canvas = find("canvas");
const paper = canvas.getContext("2d", { willReadFrequently: true });
const onDemand = window.matchMedia("(pointer: coarse), (max-width: 640px)");
const change = find("[data-tool=edit]").textContent;
let name = null, tool = "brush", last = null, history = [];

function setEditing(editing) {
  editor.classList.toggle("editing", editing);
  const button = find("[data-tool=edit]");
  button.textContent = editing ? "Done" : change;
  button.setAttribute("aria-expanded", editing);
  button.hidden = editing && !onDemand.matches;
}

function choose(chosen) {
  tool = chosen;
  for (const button of editor.querySelectorAll("button")) {
    button.classList.toggle("chosen", button.dataset.tool === tool);
  }
}

function remember() {
  history.push(paper.getImageData(0, 0, canvas.width, canvas.height));
  if (history.length > MOST_UNDO) history.shift();
}

function handOver() {
  props.value = { name, mask: canvas.toDataURL("image/png") };
}

function copy() {
  const other = document.createElement("canvas");
  other.width = canvas.width; other.height = canvas.height;
  other.getContext("2d").drawImage(canvas, 0, 0);
  return other;
}

function load(url, then) {
  const picture = new Image();
  picture.onload = () => then(picture);
  picture.src = url;
}

function show(value) {
  frame.hidden = find(".tools").hidden = !value;
  find(".empty").hidden = !!value;
  history = []; last = null; name = value ? value.name : null;
  if (!value) return;
  setEditing(!onDemand.matches);
  choose("brush");
  const shown = value.name;
  load(value.photo, (photo) => {
    if (name !== shown) return;
    image.src = value.photo;
    canvas.width = photo.naturalWidth; canvas.height = photo.naturalHeight;
    if (!value.mask) return;
    load(value.mask, (mask) => {
      if (name !== shown) return;
      paper.drawImage(mask, 0, 0, canvas.width, canvas.height);
      paper.globalCompositeOperation = "source-in"; // one colour for the mask found and the brush
      paper.fillStyle = COLOUR;
      paper.fillRect(0, 0, canvas.width, canvas.height);
      paper.globalCompositeOperation = "source-over";
    });
  });
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  const scale = canvas.width / box.width;
  return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale, scale };
}

function stroke(from, to) {
  paper.globalCompositeOperation = tool === "eraser" ? "destination-out" : "source-over";
  paper.strokeStyle = COLOUR;
  paper.lineCap = paper.lineJoin = "round";
  paper.lineWidth = find("input").value * to.scale;
  paper.beginPath();
  paper.moveTo(from.x, from.y);
  paper.lineTo(to.x, to.y + (from.x === to.x && from.y === to.y ? 0.01 : 0));
  paper.stroke();
  paper.globalCompositeOperation = "source-over";
}

// All pixels within a radius of `source`'s painted ones, drawn by the operation.
function spread(source, operation) {
  const radius = Math.max(2, Math.round(Math.min(canvas.width, canvas.height) / 96));
  paper.globalCompositeOperation = operation;
  for (let turn = 0; turn < 16; turn++) {
    const angle = (turn * Math.PI) / 8;
    paper.drawImage(source, Math.round(radius * Math.cos(angle)), Math.round(radius * Math.sin(angle)));
  }
  paper.globalCompositeOperation = "source-over";
}

function shrink() {
  const outside = document.createElement("canvas");
  outside.width = canvas.width; outside.height = canvas.height;
  const pen = outside.getContext("2d");
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.globalCompositeOperation = "destination-out";
  pen.drawImage(canvas, 0, 0);
  spread(outside, "destination-out");
}

const act = {
  edit: () => setEditing(!editor.classList.contains("editing")),
  brush: () => choose("brush"),
  eraser: () => choose("eraser"),
  undo: () => history.length && (paper.putImageData(history.pop(), 0, 0), handOver()),
  grow: () => (remember(), spread(copy(), "source-over"), handOver()),
  shrink: () => (remember(), shrink(), handOver()),
  clear: () => (remember(), paper.clearRect(0, 0, canvas.width, canvas.height), handOver()),
};

editor.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) act[button.dataset.tool]();
});
canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || !canvas.width) return;
  canvas.setPointerCapture(event.pointerId);
  remember();
  last = place(event);
  stroke(last, last);
});
canvas.addEventListener("pointermove", (event) => {
  if (last === null) return;
  const here = place(event);
  stroke(last, here);
  last = here;
});
for (const end of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(end, () => {
    if (last !== null) handOver();
    last = null;
  });
}
watch("value", () => {
  if (!props.value || props.value.photo) show(props.value);
});
