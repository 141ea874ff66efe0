/**
 * Sets the chosen theme before the first paint. Owns the name it is remembered under; a classic script, so that it runs
 * before the page is drawn. `static/view/theme.js` is the switch.
 */
document.documentElement.dataset.theme = localStorage.getItem("switchboard.theme") ?? "system";
