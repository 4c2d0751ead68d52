"use strict";
// Zoom, pan, hover and keys for the panels of a page. What is drawn is there without it: positions on a panel are those
// of its SVG, and zooming multiplies and shifts them (drawn = scale * place + shift).
(() => {
  const LARGEST = 500, REACH = 14;
  const UNITS = [[1e12, " T"], [1e9, " B"], [1e6, " M"], [1e3, " k"]];
  const runs = JSON.parse(document.getElementById("run-lines").textContent);
  const tip = document.body.appendChild(document.createElement("div"));
  tip.className = "tip"; tip.hidden = true; tip.setAttribute("role", "status");
  let lit = [], told = null;

  // Ticks, as lbscale/report/axis.py makes them.
  const plain = (value) => String(Number(value.toPrecision(6)));
  const tickText = (value, counts) => {
    const unit = counts && UNITS.find(([size]) => value >= size * (1 - 1e-9));
    if (unit) return plain(value / unit[0]) + unit[1];
    if (value && !(Math.abs(value) >= 1e-4 && Math.abs(value) < 1e6)) {
      const power = Math.floor(Math.log10(Math.abs(value)) + 1e-9);
      return plain(value / 10 ** power) + "e" + power;
    }
    return plain(value);
  };
  const decades = (low, high, digits) => {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
      for (const digit of digits) found.push(digit * 10 ** power);
    return found.filter((value) => low <= value && value <= high);
  };
  const even = (low, high, most) => {
    const raw = (high - low) / Math.max(most - 2, 3), power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 5, 10].find((digit) => digit * power >= raw * (1 - 1e-9));
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k <= Math.floor(high / step + 1e-9); k++) found.push(k * step);
    return found;
  };
  const ticks = ({ low, high, log }, most) => {
    if (log) {
      const fewest = high > 10 * low ? 2 : 3;
      let found = [];
      for (const digits of [[1, 2, 5], [1, 3], [1]]) {
        found = decades(low, high, digits);
        if (fewest <= found.length && found.length <= most) return found;
      }
      if (found.length > most) return found.filter((_, i) => i % Math.ceil(found.length / most) === 0);
    }
    return even(low, high, most);
  };
  const share = ({ low, high, log }, value) =>
    log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  const valueAt = ({ low, high, log }, at) => (log ? low * (high / low) ** at : low + (high - low) * at);
  const part = (axis, from, to) => ({ ...axis, low: valueAt(axis, from), high: valueAt(axis, to) });

  const element = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const hide = () => { tip.hidden = true; for (const node of lit) node.classList.remove("on"); lit = []; };
  const tell = (node) => {
    hide();
    told = node;
    const name = node.dataset.run, [first, ...rest] = runs[name] || [name];
    const heading = document.createElement("b");
    heading.textContent = first;
    lit = [...document.querySelectorAll(`.point[data-run="${CSS.escape(name)}"]`)];
    // What a law says of a run stands on one of its points in the law's section.
    const section = node.closest("section");
    const noted = node.dataset.note ? node : lit.find((same) => same.dataset.note && section.contains(same));
    tip.replaceChildren(heading, [...rest, ...(noted ? [noted.dataset.note] : [])].join("\n"));
    for (const same of lit) same.classList.add("on");
    tip.hidden = false;
    beside(node);
  };
  const beside = (node) => {
    const at = node.getBoundingClientRect(), size = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, at.right + 10), innerWidth - size.width - 8);
    tip.style.left = `${left}px`;
    tip.style.top = `${at.top - size.height - 8 > 0 ? at.top - size.height - 8 : at.bottom + 8}px`;
  };

  const setUp = (svg) => {
    const { box: [left, top, wide, high], x, y, most } = JSON.parse(svg.dataset.axes);
    const lines = svg.querySelector(".lines"), marks = svg.querySelector(".ticks");
    const points = [...svg.querySelectorAll(".point")].map((node) => {
      const { e, f } = node.transform.baseVal.getItem(0).matrix;
      return { node, x: e, y: f };
    }).sort((one, other) => one.x - other.x || one.y - other.y);
    let scale = 1, shiftX = 0, shiftY = 0, chosen = -1, drag = null;

    const draw = () => {
      lines.setAttribute("transform", `matrix(${scale} 0 0 ${scale} ${shiftX} ${shiftY})`);
      for (const point of points)
        point.node.setAttribute("transform", `translate(${scale * point.x + shiftX} ${scale * point.y + shiftY})`);
      const seenX = part(x, ((left - shiftX) / scale - left) / wide, ((left + wide - shiftX) / scale - left) / wide);
      const seenY = part(y, 1 - ((top + high - shiftY) / scale - top) / high, 1 - ((top - shiftY) / scale - top) / high);
      marks.replaceChildren();
      for (const value of ticks(seenX, most)) {
        const at = left + wide * share(seenX, value);
        marks.append(element("path", { d: `M${at} ${top}V${top + high}` }));
        marks.append(element("text", { x: at, y: top + high + 15, "text-anchor": "middle" }, tickText(value, x.counts)));
      }
      for (const value of ticks(seenY, most)) {
        const at = top + high * (1 - share(seenY, value));
        marks.append(element("path", { d: `M${left} ${at}H${left + wide}` }));
        marks.append(element("text", { x: left - 6, y: at + 4, "text-anchor": "end" }, tickText(value, y.counts)));
      }
      svg.dataset.scale = scale;
    };
    const move = (newScale, newX, newY) => {
      scale = Math.min(Math.max(newScale, 1), LARGEST);
      shiftX = Math.max((left + wide) * (1 - scale), Math.min(left * (1 - scale), newX));
      shiftY = Math.max((top + high) * (1 - scale), Math.min(top * (1 - scale), newY));
      hide(); draw();
    };
    const zoom = (factor, atX = left + wide / 2, atY = top + high / 2) => {
      const next = Math.min(Math.max(scale * factor, 1), LARGEST), change = next / scale;
      move(next, atX - change * (atX - shiftX), atY - change * (atY - shiftY));
    };
    const place = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const isInside = (at) => at.x >= left - 4 && at.x <= left + wide + 4 && at.y >= top - 4 && at.y <= top + high + 4;
    const screen = (point) => ({ x: scale * point.x + shiftX, y: scale * point.y + shiftY });
    const nearest = (at) => {
      let best = -1, least = REACH;
      points.forEach((point, i) => {
        const here = screen(point), away = Math.hypot(here.x - at.x, here.y - at.y);
        if (away < least && isInside(here)) { best = i; least = away; }
      });
      return best;
    };
    const choose = (i) => { chosen = i; if (i < 0) hide(); else tell(points[i].node); };
    const step = (by) => {
      for (let i = chosen + by, tried = 0; tried < points.length; i += by, tried++) {
        i = (i + points.length) % points.length;
        if (isInside(screen(points[i]))) return choose(i);
      }
    };

    svg.addEventListener("wheel", (event) => {
      // A page is read by its wheel: it zooms what was clicked on, or anything with ctrl held.
      if (document.activeElement !== svg && !event.ctrlKey) return;
      event.preventDefault();
      const at = place(event);
      zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY)) / 300), at.x, at.y);
    }, { passive: false });
    svg.addEventListener("pointerdown", (event) => {
      svg.focus({ preventScroll: true });
      if (event.button === 0) drag = { at: place(event), shiftX, shiftY };
    });
    svg.addEventListener("pointermove", (event) => {
      const at = place(event);
      if (drag && event.buttons && scale > 1) move(scale, drag.shiftX + at.x - drag.at.x, drag.shiftY + at.y - drag.at.y);
      else choose(nearest(at));
    });
    for (const name of ["pointerup", "pointercancel"]) svg.addEventListener(name, () => { drag = null; });
    svg.addEventListener("pointerleave", () => { drag = null; choose(-1); });
    svg.addEventListener("blur", () => choose(-1));
    svg.addEventListener("dblclick", () => move(1, 0, 0));
    const keys = {
      "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), "0": () => move(1, 0, 0),
      ArrowRight: () => step(1), ArrowLeft: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1),
      Escape: () => choose(-1),
    };
    svg.addEventListener("keydown", (event) => {
      if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      keys[event.key]();
    });

    const tools = svg.parentElement.appendChild(document.createElement("div"));
    tools.className = "tools";
    for (const [sign, words, act] of [["+", "zoom in", keys["+"]], ["\u2212", "zoom out", keys["-"]], ["\u21ba", "reset", keys["0"]]]) {
      const button = tools.appendChild(document.createElement("button"));
      Object.assign(button, { type: "button", textContent: sign, title: words, onclick: act });
      button.setAttribute("aria-label", words);
    }
  };

  for (const svg of document.querySelectorAll("svg.panel")) setUp(svg);
  addEventListener("scroll", () => { if (!tip.hidden) beside(told); }, { passive: true });
})();
