// Runs before the first paint: says that there is script, and applies the
// chosen theme, so that nothing flashes.
(function () {
  const root = document.documentElement;
  root.classList.add("js");
  try {
    const prefs = JSON.parse(localStorage.getItem("acitap") || "{}");
    if (prefs.theme === "dark" || prefs.theme === "light") root.dataset.theme = prefs.theme;
  } catch { /* storage is blocked or holds something else: the system's theme stands */ }
  const view = new URLSearchParams(location.search).get("view");
  root.dataset.view = ["objects", "subscriptions", "webhooks", "session"].includes(view) ? view : "events";
})();
