"use strict";
// One viewer for each map: two layers at one place, one on either side of a divider.
document.documentElement.classList.add("js");

function viewer(section) {
  const stage = section.querySelector(".stage");
  const height = Number(stage.dataset.height), width = Number(stage.dataset.width);
  const pixel = stage.dataset.pixel ? Number(stage.dataset.pixel) : null;
  const figures = [...stage.querySelectorAll("figure")];
  const [left, right] = section.querySelectorAll("select");
  const swipe = section.querySelector("input");
  const status = section.querySelector(".status");
  const make = (kind) => stage.appendChild(Object.assign(document.createElement("div"), { className: kind }));
  const divider = make("divider"), tags = [make("tag left"), make("tag right")];
  const windows = [...section.querySelectorAll("[data-place]")].map((button) =>
    button.dataset.place.split(" ").map(Number));
  const places = windows.map(() => make("place"));
  let zoom = 1, x = 0, y = 0; // screen pixels a map pixel; the map's corner on the screen

  const least = () => Math.min(1, stage.clientWidth / width, stage.clientHeight / height) / 2;

  function set(image, row, col, rows, cols) {
    Object.assign(image.style, { left: `${x + col * zoom}px`, top: `${y + row * zoom}px`,
      width: `${cols * zoom}px`, height: `${rows * zoom}px` });
    image.classList.toggle("smooth", cols * zoom < image.naturalWidth);
  }

  function draw() {
    const share = Number(swipe.value) / 100, cut = share * stage.clientWidth;
    figures.forEach((figure, index) => {
      const onLeft = index === left.selectedIndex, onRight = index === right.selectedIndex;
      figure.classList.toggle("shown", onLeft || onRight);
      if (!onLeft && !onRight) return;
      const [whole, ...parts] = figure.querySelectorAll("img");
      set(whole, 0, 0, height, width);
      parts.forEach((part, number) => set(part, ...windows[number]));
      figure.style.clipPath = onLeft && onRight ? "none"
        : onLeft ? `inset(0 ${stage.clientWidth - cut}px 0 0)` : `inset(0 0 0 ${cut}px)`;
    });
    divider.style.left = `${cut}px`;
    places.forEach((place, number) => {
      const [row, col, rows, cols] = windows[number];
      set(place, row, col, rows, cols);
      place.hidden = cols * zoom > stage.clientWidth;
    });
    tags[0].textContent = left.selectedOptions[0].textContent;
    tags[1].textContent = right.selectedOptions[0].textContent;
    const each = 1 / zoom;
    const ground = pixel ? `, ${Number((pixel * each).toPrecision(3))} m` : "";
    status.textContent = `One screen pixel is ${Number(each.toPrecision(3))} map pixels${ground}.`;
    stage.dataset.zoom = zoom;
  }

  function zoomTo(next, atX = stage.clientWidth / 2, atY = stage.clientHeight / 2) {
    next = Math.min(32, Math.max(least(), next));
    x = atX - (atX - x) * next / zoom;
    y = atY - (atY - y) * next / zoom;
    zoom = next;
    draw();
  }

  function show(row, col, rows, cols, most) {
    zoom = Math.min(most, stage.clientWidth / cols, stage.clientHeight / rows);
    x = stage.clientWidth / 2 - (col + cols / 2) * zoom;
    y = stage.clientHeight / 2 - (row + rows / 2) * zoom;
    draw();
  }

  function move(dx, dy) { x += dx; y += dy; draw(); }
  const whole = () => show(0, 0, height, width, 32);
  const turn = (by) => { swipe.value = Number(swipe.value) + by; draw(); };
  const keys = {
    ArrowLeft: () => move(60, 0), ArrowRight: () => move(-60, 0),
    ArrowUp: () => move(0, 60), ArrowDown: () => move(0, -60),
    "+": () => zoomTo(zoom * 1.5), "=": () => zoomTo(zoom * 1.5), "-": () => zoomTo(zoom / 1.5),
    "0": whole, "1": () => zoomTo(1), ",": () => turn(-5), ".": () => turn(5),
  };
  const actions = { in: keys["+"], out: keys["-"], whole, real: keys["1"] };

  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && document.activeElement !== stage) return; // let the page scroll
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    zoomTo(zoom * Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  let held = null;
  stage.addEventListener("pointerdown", (event) => {
    held = event.target === divider ? "divider" : "map";
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (held === "map") move(event.movementX, event.movementY);
    if (held === "divider") {
      const box = stage.getBoundingClientRect();
      swipe.value = 100 * (event.clientX - box.left) / box.width;
      draw();
    }
  });
  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, () => { held = null; });
  }
  for (const control of [left, right, swipe]) control.addEventListener("input", draw);
  for (const button of section.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      if (button.dataset.place) show(...button.dataset.place.split(" ").map(Number), 32);
      else actions[button.dataset.action]();
    });
  }
  new ResizeObserver(draw).observe(stage);
  whole();
}

for (const section of document.querySelectorAll(".viewer")) viewer(section);
