// Draws the start page anew every ten seconds. Who works with the keyboard, has opened something or types, is not disturbed.
(function () {
  "use strict";
  var EVERY = 10000;
  var now = document.getElementById("now");
  if (!now) { return; }
  var parts = now.querySelectorAll("[data-part]").length;

  function busy(part) {
    var active = document.activeElement;
    return part.contains(active) || part.querySelector("details[open]") !== null;
  }

  function put(fresh) {
    var found = fresh.querySelectorAll("[data-part]");
    found.forEach(function (one) {
      var old = now.querySelector('[data-part="' + one.dataset.part + '"]');
      if (old && !busy(old) && (old.innerHTML !== one.innerHTML || old.className !== one.className)) {
        old.className = one.className;
        old.hidden = one.hidden;
        old.innerHTML = one.innerHTML;
      }
    });
    return found.length === parts;
  }

  async function look() {
    if (!document.hidden) {
      try {
        var answer = await fetch("/now", {headers: {"accept": "text/html"}, credentials: "same-origin"});
        if (answer.redirected) { window.location.reload(); return; }
        var page = new DOMParser().parseFromString(await answer.text(), "text/html");
        now.classList.toggle("stale", !answer.ok || !put(page));
      } catch (error) {
        now.classList.add("stale");
      }
    }
    window.setTimeout(look, EVERY);
  }

  window.setTimeout(look, EVERY);
}());
