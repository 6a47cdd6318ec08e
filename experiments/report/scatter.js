// An interactive Pareto plot: choose the axes, see the front, hover or tab to a point for its row. Dominated points are
// grey crosses; those on the front have a marker and a colour for each series, so that neither is needed alone. Points of
// different tasks (another model, another length) dominate neither each other.
for (const figure of document.querySelectorAll(".scatter")) {
  const data = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
  const [xSelect, ySelect, taskSelect] = figure.querySelectorAll("select");
  const [xLog, yLog] = figure.querySelectorAll("input");
  const svg = figure.querySelector("svg"), output = figure.querySelector("output");
  const names = data.columns, series = [...new Set(data.points.map(point => point.series))];
  const colors = data.colors;
  const markers = ["M0-5L5 4L-5 4Z", "M-4-4H4V4H-4Z", "M0-6L5 0L0 6L-5 0Z", "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0-5 0Z",
    "M0 5L5-4L-5-4Z", "M-5-2H5V2H-5Z", "M-2-5H2V5H-2Z"];
  const left = 90, right = 690, top = 28, bottom = 370;
  for (const select of [xSelect, ySelect]) {
    names.forEach((name, index) => select.add(new Option(name, index)));
  }
  [xSelect.value, ySelect.value] = data.axes;
  const tasks = [...new Set(data.points.map(point => point.task))];
  taskSelect.add(new Option("all", ""));
  for (const task of tasks) taskSelect.add(new Option(task));
  taskSelect.parentElement.hidden = tasks.length < 2;
  const element = (tag, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    return svg.appendChild(node);
  };
  const format = value => value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-3)
    ? value.toExponential(3).replace(/\.?0*e\+?/, "e") : Number(value.toPrecision(4)).toString();
  const dominated = (point, points, axes) => points.some(other => other.task === point.task &&
    axes.every(axis => other.values[axis] * data.signs[axis] <= point.values[axis] * data.signs[axis]) &&
    axes.some(axis => other.values[axis] * data.signs[axis] < point.values[axis] * data.signs[axis]));
  // Round numbers from low to high: 1, 2 or 5 times a power of ten apart.
  const linearTicks = (low, high) => {
    const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map(factor => factor * power).find(size => size >= rough);
    const first = Math.ceil(low / step - 1e-9), count = Math.floor(high / step + 1e-9) - first + 1;
    return Array.from({ length: count }, (_, index) => Number(((first + index) * step).toPrecision(12)));
  };
  // Powers of ten, with 2 and 5 between them where there are few; round numbers where even those are.
  const logTicks = (low, high) => {
    const powers = Array.from({ length: Math.floor(high) - Math.floor(low) + 1 }, (_, i) => Math.floor(low) + i);
    const factors = powers.length > 5 ? [1] : powers.length > 3 ? [1, 3] : [1, 2, 5];
    const ticks = powers.flatMap(power => factors.map(factor => Number(`${factor}e${power}`)))
      .filter(tick => Math.log10(tick) >= low && Math.log10(tick) <= high);
    return ticks.length > 2 ? ticks : linearTicks(10 ** low, 10 ** high);
  };
  const scale = (values, log, from, to) => {
    const map = value => log ? Math.log10(value) : value;
    let low = Math.min(...values.map(map)), high = Math.max(...values.map(map));
    if (low === high) { const half = Math.abs(low) * 0.1 || 1; low -= half; high += half; }
    const margin = 0.04 * (high - low);
    [low, high] = [low - margin, high + margin];
    const place = value => from + (to - from) * (map(value) - low) / (high - low);
    return { place, ticks: log ? logTicks(low, high) : linearTicks(low, high) };
  };
  const wide = axis => {
    const values = data.points.map(point => point.values[axis]).filter(value => value !== null);
    return Math.min(...values) > 0 && Math.max(...values) > 30 * Math.min(...values);
  };
  const draw = () => {
    svg.replaceChildren();
    const axes = [Number(xSelect.value), Number(ySelect.value)];
    const points = data.points.filter(point =>
      axes.every(axis => point.values[axis] !== null) && (!taskSelect.value || point.task === taskSelect.value));
    const positive = axis => points.every(point => point.values[axis] > 0);
    xLog.disabled = !positive(axes[0]);
    yLog.disabled = !positive(axes[1]);
    const x = scale(points.map(point => point.values[axes[0]]), xLog.checked && !xLog.disabled, left, right);
    const y = scale(points.map(point => point.values[axes[1]]), yLog.checked && !yLog.disabled, bottom, top);
    element("path", { d: `M${left} ${top}V${bottom}H${right}`, fill: "none", stroke: "#444" });
    for (const tick of x.ticks) {
      element("path", { d: `M${x.place(tick)} ${bottom}v4`, stroke: "#444" });
      element("text", { x: x.place(tick), y: bottom + 18, "text-anchor": "middle" }, format(tick));
    }
    for (const tick of y.ticks) {
      element("path", { d: `M${left} ${y.place(tick)}h-4`, stroke: "#444" });
      element("text", { x: left - 8, y: y.place(tick) + 4, "text-anchor": "end" }, format(tick));
    }
    element("text", { x: (left + right) / 2, y: bottom + 38, "text-anchor": "middle" }, names[axes[0]]);
    element("text", { x: left - 8, y: top - 14 }, names[axes[1]]);
    let front = 0;
    for (const point of points) {
      const beaten = dominated(point, points, axes), index = series.indexOf(point.series);
      front += beaten ? 0 : 1;
      const mark = element("path", {
        d: beaten ? "M-3-3L3 3M-3 3L3-3" : markers[index % markers.length],
        transform: `translate(${x.place(point.values[axes[0]])} ${y.place(point.values[axes[1]])})`,
        fill: beaten ? "none" : colors[index % colors.length], stroke: beaten ? "#8a8a8a" : "#fff",
        class: beaten ? "dominated" : "front", tabindex: 0, role: "img", "aria-label": point.label,
      });
      const show = () => { output.textContent = `${point.label}: ` + axes.map(axis =>
        `${names[axis]} ${format(point.values[axis])}`).join(", ") + (beaten ? " (dominated)" : " (on the front)"); };
      mark.addEventListener("mouseenter", show);
      mark.addEventListener("focus", show);
    }
    series.forEach((name, index) => {
      element("path", { d: markers[index % markers.length], fill: colors[index % colors.length],
        transform: `translate(${right + 14} ${top + 10 + 20 * index})` });
      element("text", { x: right + 26, y: top + 14 + 20 * index }, name);
    });
    element("path", { d: "M-3-3L3 3M-3 3L3-3", stroke: "#8a8a8a",
      transform: `translate(${right + 14} ${top + 10 + 20 * series.length})` });
    element("text", { x: right + 26, y: top + 14 + 20 * series.length }, "dominated");
    output.textContent = `${front} of ${points.length} points are on the front of these two`;
  };
  [xLog.checked, yLog.checked] = data.axes.map(wide);
  for (const control of [xSelect, ySelect, taskSelect, xLog, yLog]) control.addEventListener("change", draw);
  draw();
}
