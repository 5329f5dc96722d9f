/* The query explorer. A page from disk may not fetch, so data come as scripts that call explorer.receive. */
"use strict";

const explorer = (() => {
  const own = document.currentScript;
  const root = own.src.replace(/static\/[^/]*$/, "");
  const received = new Map();
  const loading = new Map();
  const place = (id) => document.getElementById(id);
  const MOST = 8; // methods that are shown at first: more cannot be compared at a glance
  let catalogue = null;
  let state = { target: 0, label: 0, scene: 0 };
  const chosen = new Map(); // target -> numbers of the methods shown

  function receive(name, data) {
    received.set(name, data);
  }

  function load(name) {
    if (!loading.has(name)) {
      loading.set(name, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.src = root + name;
        script.onload = () => (received.has(name) ? resolve(received.get(name)) : reject(new Error(name)));
        script.onerror = () => reject(new Error(name));
        document.head.append(script);
      }));
    }
    return loading.get(name);
  }

  function element(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  // --- what the data say ---

  const target = () => catalogue.targets[state.target];
  const classOf = (scene) => target().starts.findLastIndex((start) => start <= scene);

  function thumbnail(scene, alt) {
    const { across, sheet, side } = catalogue;
    const rest = scene % sheet;
    const picture = element("img", { className: "thumb", width: side, height: side, alt, loading: "lazy" });
    picture.style.objectPosition = `${-(rest % across) * side}px ${-Math.floor(rest / across) * side}px`;
    picture.src = `${root}${target().sheets}/${Math.floor(scene / sheet)}.jpg`;
    return picture;
  }

  function numbers(text, kind) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    return new kind(bytes.buffer);
  }

  function unpack(data) {
    if (!data.rows) {
      data.rows = numbers(data.scenes, data.bytes === 2 ? Uint16Array : Uint32Array);
      data.values = numbers(data.similarities, Int16Array);
      data.nothing = data.bytes === 2 ? 0xffff : 0xffffffff;
    }
    return data;
  }

  /* The ranking of a scene: [{scene, similarity}], nearest first; empty where there is none. */
  function ranking(data, scene) {
    const found = [];
    for (let rank = scene * data.shown; rank < (scene + 1) * data.shown; rank += 1) {
      if (data.rows[rank] === data.nothing) return [];
      found.push({ scene: data.rows[rank], similarity: (data.values[rank] * data.step).toFixed(data.digits) });
    }
    return found;
  }

  // --- the address ---

  function readAddress(scenes) {
    const asked = new URLSearchParams(location.hash.slice(1));
    const path = asked.get("scene");
    const label = target().classes.indexOf(asked.get("class"));
    const scene = path === null ? -1 : scenes.paths.indexOf(path);
    if (scene >= 0) go(scene);
    else go(target().starts[Math.max(label, 0)]);
  }

  function targetOfAddress() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const fits = (key, value) => asked.get(key) === null || asked.get(key) === value;
    return Math.max(0, catalogue.targets.findIndex((one) => fits("board", one.board) && fits("target", one.target)));
  }

  function writeAddress(scenes) {
    const { board, target: name, classes } = target();
    const words = { board, target: name, class: classes[state.label], scene: scenes.paths[state.scene] };
    history.replaceState(null, "", `#${new URLSearchParams(words)}`);
  }

  // --- moving about ---

  function go(scene) {
    state = { ...state, scene, label: classOf(scene) };
    show();
  }

  function step(by) {
    const first = target().starts[state.label];
    const count = target().starts[state.label + 1] - first;
    go(first + ((state.scene - first + by + count) % count));
  }

  function stepClass(by) {
    const count = target().classes.length;
    go(target().starts[(state.label + by + count) % count]);
  }

  async function goTarget(number) {
    state = { target: number, label: 0, scene: 0 };
    fill(place("class"), target().classes);
    place("page").href = root + target().page;
    place("colours").textContent = target().colours;
    drawMethods();
    try {
      readAddress(await load(target().scenes));
    } catch (error) {
      complain(error);
    }
  }

  function complain(error) {
    place("status").textContent = `${error.message} is missing or damaged: render the report again.`;
  }

  // --- drawing ---

  function fill(select, words) {
    select.replaceChildren(...words.map((word, number) => element("option", { value: number, textContent: word })));
  }

  function drawMethods() {
    const methods = target().methods;
    if (!chosen.has(state.target)) chosen.set(state.target, new Set([...methods.keys()].filter((number) => number < MOST)));
    const mine = chosen.get(state.target);
    place("methods").replaceChildren(...methods.map((method, number) => {
      const box = element("input", { type: "checkbox", checked: mine.has(number) });
      box.addEventListener("change", () => {
        if (box.checked) mine.add(number);
        else mine.delete(number);
        drawRankings();
      });
      return element("label", { title: method.title }, box, ` ${method.short}`);
    }));
  }

  async function show() {
    const now = state;
    const scenes = await load(target().scenes);
    if (now !== state) return;
    drawChoice(scenes);
    drawStrip(scenes);
    writeAddress(scenes);
    drawRankings();
  }

  function drawChoice(scenes) {
    const { classes, starts } = target();
    const first = starts[state.label];
    const members = scenes.paths.slice(first, starts[state.label + 1]);
    place("target").value = state.target;
    place("class").value = state.label;
    const select = place("scene");
    const key = `${state.target} ${state.label}`;
    if (select.dataset.key !== key) {
      select.replaceChildren(...members.map((path, number) => element("option", { value: first + number, textContent: path.split("/").pop() })));
      select.dataset.key = key;
    }
    select.value = state.scene;
    const path = scenes.paths[state.scene];
    place("query").replaceChildren(thumbnail(state.scene, `Query: ${classes[state.label]}, ${path}`));
    const left = scenes.absent.includes(state.scene) ? " It repeats a scene of the source and does not count." : "";
    const words = scenes.labels ? ` Labels: ${scenes.labels[state.scene].join(", ")}.` : "";
    place("status").textContent = `${classes[state.label]}, scene ${state.scene - first + 1} of ${members.length}: ${path}.${words}${left}`;
  }

  function drawStrip(scenes) {
    const strip = place("strip");
    const { starts } = target();
    const key = `${state.target} ${state.label}`;
    if (strip.dataset.key !== key) {
      const buttons = [];
      for (let scene = starts[state.label]; scene < starts[state.label + 1]; scene += 1) {
        const button = element("button", { type: "button" }, thumbnail(scene, scenes.paths[scene].split("/").pop()));
        button.addEventListener("click", () => go(scene));
        buttons.push(button);
      }
      strip.replaceChildren(...buttons);
      strip.dataset.key = key;
    }
    const focused = strip.contains(document.activeElement);
    for (const [number, button] of [...strip.children].entries()) {
      const current = starts[state.label] + number === state.scene;
      button.tabIndex = current ? 0 : -1; // one stop for Tab; arrows move within
      button.setAttribute("aria-current", current);
      if (current) {
        strip.scrollLeft = button.offsetLeft - strip.offsetLeft - strip.clientWidth / 2;
        if (focused) button.focus({ preventScroll: true });
      }
    }
  }

  async function drawRankings() {
    const now = state;
    const mine = chosen.get(state.target);
    const methods = target().methods.filter((_, number) => mine.has(number));
    place("count").textContent = `${methods.length} of ${target().methods.length}`;
    const drawn = await Promise.all(methods.map((method) => drawRanking(method, now.scene)));
    if (now !== state || mine.size !== methods.length) return;
    place("rankings").replaceChildren(...drawn);
    place("rankings").dataset.scene = now.scene;
  }

  async function drawRanking(method, scene) {
    const heading = element("h3", { title: method.title, textContent: method.short });
    const section = element("section", { className: "ranking" }, heading);
    let found;
    try {
      found = ranking(unpack(await load(method.data)), scene);
    } catch (error) {
      section.append(element("p", { textContent: `${error.message} is missing or damaged: render the report again.` }));
      return section;
    }
    const { labels } = await load(target().scenes);
    const judged = found.map((one) => ({ ...one, ...judge(labels, scene, one.scene) }));
    const all = `all queries: ${method.metrics.map(([name, value]) => `${name} ${value.toFixed(4)}`).join(", ")}`;
    const here = found.length ? inWords(labels, judged) : `no ranking: no other scene of its ${labels ? "labels" : "class"} counts`;
    heading.append(element("small", { textContent: `${method.row}, seed ${method.seed} · ${here} · ${all} · ${method.measure}` }));
    section.append(element("ol", {}, ...judged.map((one, number) => drawFound(method, one, number + 1))));
    return section;
  }

  /* What a scene is called, whether it is right for a query, and what is printed below it. */
  function judge(labels, query, scene) {
    if (!labels) {
      const words = target().classes[classOf(scene)];
      const right = classOf(scene) === classOf(query);
      return { words, right, shared: 0, caption: right ? "" : words };
    }
    const words = labels[scene].join(", ");
    const both = labels[scene].filter((label) => labels[query].includes(label));
    return { words, right: both.length > 0, shared: both.length, caption: both.join(", ") || `none of: ${words}` };
  }

  function inWords(labels, judged) {
    const sum = (values) => values.reduce((total, value) => total + value, 0);
    if (labels) return `${(sum(judged.map((one) => one.shared)) / judged.length).toFixed(1)} shared labels on average`;
    return `${judged.filter((one) => one.right).length} of ${judged.length} right`;
  }

  function drawFound(method, one, rank) {
    const verdict = one.right ? "right" : "wrong";
    const alt = `Rank ${rank}, ${verdict}: ${one.words}, ${method.measure} ${one.similarity}`;
    const button = element("button", { type: "button", title: "Make it the query" }, thumbnail(one.scene, alt));
    button.addEventListener("click", () => go(one.scene));
    const sign = element("span", { textContent: verdict === "right" ? "✓" : "✗", ariaHidden: "true" });
    const mark = element("span", { className: "mark" }, element("b", { textContent: rank }), " ", sign, ` ${one.similarity}`);
    const item = element("li", { className: verdict }, button, mark);
    item.dataset.scene = one.scene;
    if (one.caption) item.append(element("span", { className: "class", textContent: one.caption }));
    return item;
  }

  // --- start ---

  function listen() {
    place("choice").addEventListener("submit", (event) => event.preventDefault());
    place("target").addEventListener("change", (event) => {
      history.replaceState(null, "", "#");
      goTarget(Number(event.target.value));
    });
    place("class").addEventListener("change", (event) => go(target().starts[Number(event.target.value)]));
    place("scene").addEventListener("change", (event) => go(Number(event.target.value)));
    place("previous").addEventListener("click", () => step(-1));
    place("next").addEventListener("click", () => step(1));
    window.addEventListener("hashchange", () => {
      if (location.hash && !location.hash.includes("=")) return; // a place on the page, such as #content: no choice
      goTarget(targetOfAddress());
    });
    const keys = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), n: () => stepClass(1), p: () => stepClass(-1) };
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest("select, input, textarea");
      if (typing || event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
      event.preventDefault();
      keys[event.key]();
    });
  }

  async function start() {
    try {
      catalogue = await load(own.dataset.catalogue);
    } catch (error) {
      complain(error);
      return;
    }
    fill(place("target"), catalogue.targets.map((one) => one.title));
    listen();
    goTarget(targetOfAddress());
  }

  document.addEventListener("DOMContentLoaded", start);
  return { receive };
})();
