// Has the server count as one types, and lets a form be sent once.
(function () {
  "use strict";
  var form = document.getElementById("send");
  if (!form) { return; }
  var count = document.getElementById("count");
  var waiting = null;
  var asked = 0;

  async function ask() {
    var mine = (asked += 1);
    var body = new URLSearchParams();
    ["csrftoken", "text", "lane", "nickname"].forEach(function (name) { body.set(name, form.elements[name].value); });
    try {
      var answer = await fetch("/send/count", {method: "POST", body: body, credentials: "same-origin"});
      if (answer.ok && !answer.redirected && mine === asked) { count.innerHTML = await answer.text(); }
    } catch (error) {
      return;
    }
  }

  form.addEventListener("input", function (event) {
    if (!["text", "lane", "nickname"].includes(event.target.name)) { return; }
    window.clearTimeout(waiting);
    waiting = window.setTimeout(ask, 250);
  });
  form.addEventListener("submit", function (event) {
    var pressed = event.submitter;
    if (pressed && pressed.value !== "send") { return; }
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
  });
  window.addEventListener("pageshow", function () { delete form.dataset.sent; });
}());
