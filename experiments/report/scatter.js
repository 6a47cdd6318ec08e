// An interactive Pareto plot: choose the axes, see the front, hover or tab to a point for its row. Dominated points are
// grey crosses; those on the front have a marker and a colour for each series, so that neither is needed alone.
for (const figure of document.querySelectorAll(".scatter")) {
  const data = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
  const [xSelect, ySelect] = figure.querySelectorAll("select");
  const [xLog, yLog] = figure.querySelectorAll("input");
  const svg = figure.querySelector("svg"), output = figure.querySelector("output");
  const names = data.columns, series = [...new Set(data.points.map(point => point.series))];
  const colors = ["#000000", "#d55e00", "#0072b2", "#009e73", "#e69f00", "#cc79a7", "#56b4e9"];
  const markers = ["M0-5L5 4L-5 4Z", "M-4-4H4V4H-4Z", "M0-6L5 0L0 6L-5 0Z", "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0-5 0Z",
    "M0 5L5-4L-5-4Z", "M-5-2H5V2H-5Z", "M-2-5H2V5H-2Z"];
  const left = 70, right = 700, top = 15, bottom = 370;
  for (const select of [xSelect, ySelect]) {
    names.forEach((name, index) => select.add(new Option(name, index)));
  }
  [xSelect.value, ySelect.value] = data.axes;
  const element = (tag, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    return svg.appendChild(node);
  };
  const format = value => value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-3)
    ? value.toExponential(3) : Number(value.toPrecision(4)).toString();
  const dominated = (point, points, axes) => points.some(other =>
    axes.every(axis => other.values[axis] * data.signs[axis] <= point.values[axis] * data.signs[axis]) &&
    axes.some(axis => other.values[axis] * data.signs[axis] < point.values[axis] * data.signs[axis]));
  const scale = (values, log, from, to) => {
    const map = value => log ? Math.log10(value) : value;
    let low = Math.min(...values.map(map)), high = Math.max(...values.map(map));
    if (low === high) { low -= 1; high += 1; }
    const margin = 0.04 * (high - low);
    const place = value => from + (to - from) * (map(value) - low + margin) / (high - low + 2 * margin);
    const ticks = [0, 1, 2, 3, 4].map(step => low + step * (high - low) / 4).map(tick => log ? 10 ** tick : tick);
    return { place, ticks };
  };
  const draw = () => {
    svg.replaceChildren();
    const axes = [Number(xSelect.value), Number(ySelect.value)];
    const points = data.points.filter(point => axes.every(axis => point.values[axis] !== null));
    const positive = axis => points.every(point => point.values[axis] > 0);
    xLog.disabled = !positive(axes[0]);
    yLog.disabled = !positive(axes[1]);
    const x = scale(points.map(point => point.values[axes[0]]), xLog.checked && !xLog.disabled, left, right);
    const y = scale(points.map(point => point.values[axes[1]]), yLog.checked && !yLog.disabled, bottom, top);
    element("path", { d: `M${left} ${top}V${bottom}H${right}`, fill: "none", stroke: "#444" });
    for (const tick of x.ticks) {
      element("text", { x: x.place(tick), y: bottom + 18, "text-anchor": "middle" }, format(tick));
    }
    for (const tick of y.ticks) {
      element("text", { x: left - 6, y: y.place(tick) + 4, "text-anchor": "end" }, format(tick));
    }
    element("text", { x: (left + right) / 2, y: bottom + 38, "text-anchor": "middle" }, names[axes[0]]);
    element("text", { x: left, y: top - 3 }, names[axes[1]]);
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
  for (const control of [xSelect, ySelect, xLog, yLog]) control.addEventListener("change", draw);
  draw();
}
