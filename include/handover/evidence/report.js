(() => {
  const asked = location.hash.slice(1);
  const own = navigator.language.startsWith("zh") ? "zh" : "en";
  document.getElementById("show-" + (["zh", "en", "both"].includes(asked) ? asked : own)).checked = true;

  for (const filter of document.querySelectorAll(".filter")) {
    const rows = [...document.getElementById(filter.dataset.of).tBodies[0].rows];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    filter.hidden = false;
    filter.querySelector("input").addEventListener("input", (event) => {
      const wanted = event.target.value.toLowerCase();
      rows.forEach((row, place) => { row.hidden = !texts[place].includes(wanted); });
    });
  }

  const closed = [];
  addEventListener("beforeprint", () => {
    for (const list of document.querySelectorAll("details:not([open])")) {
      if (list.querySelectorAll("tr").length < 500) { list.open = true; closed.push(list); }
    }
  });
  addEventListener("afterprint", () => { for (const list of closed.splice(0)) list.open = false; });
})();
