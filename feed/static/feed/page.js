// The little that htmx leaves to us: when a changed feed may be shown at once, and what to say when nobody answers.
"use strict";
(() => {
  const at = (selector) => document.querySelector(selector);
  const newer = () => at("#newer");

  // A reader who has scrolled down, opened a post or begun to type must not have the page pulled away.
  const busy = () =>
    window.scrollY > 160 ||
    at(".comments, .dots[open]") !== null ||
    (document.activeElement !== null && at("#feed")?.contains(document.activeElement) && document.activeElement.matches("input"));

  const refresh = () => {
    newer().hidden = true;
    htmx.trigger("#feed", "feed:refresh");
  };

  const say = (text) => {
    const line = document.createElement("p");
    line.className = "notice bad";
    line.textContent = text;
    at("#notice").replaceChildren(line);
  };

  document.addEventListener("feed:changed", (event) => {
    if (!busy()) return refresh();
    const count = event.detail.newer;
    if (count === 0) return; // only ranked anew: not worth an interruption
    newer().textContent = `${count} new post${count === 1 ? "" : "s"}`;
    newer().hidden = false;
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("#newer")) {
      window.scrollTo({ top: 0 });
      refresh();
    }
    for (const open of document.querySelectorAll("details.chooser[open], details.dots[open]"))
      if (!open.contains(event.target)) open.open = false;
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const open of document.querySelectorAll("details[open]")) {
      open.open = false;
      open.querySelector("summary").focus();
    }
  });

  // Nobody looks at a hidden tab: its polls would only cost the server.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.detail.requestConfig.verb === "get") event.preventDefault();
  });

  // A page without its status line would stop asking; a lost answer is said once and forgotten with the next good one.
  let lost = false;
  const failed = () => {
    lost = true;
    say("The server does not answer. This page keeps trying.");
  };
  document.addEventListener("htmx:sendError", failed);
  document.addEventListener("htmx:timeout", failed);
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, requestConfig } = event.detail;
    // What is not ours to show (a proxy's page, a bare error) never replaces a part of the page.
    if (xhr.status >= 400 && xhr.getResponseHeader("HX-Retarget") === null) {
      event.detail.shouldSwap = false;
      if (requestConfig.verb !== "get" || xhr.status >= 500) say(`That did not work (${xhr.status}). Try again in a moment.`);
    } else if (lost) {
      lost = false;
      at("#notice").replaceChildren();
    }
  });

  // The counts of now, as the pulse brought them. Only numbers change: a button must not be replaced under a finger.
  document.addEventListener("htmx:afterSwap", () => {
    for (const [post, numbers] of Object.entries(JSON.parse(at("#pulse")?.dataset.counts ?? "{}"))) {
      if (Object.keys(numbers).length === 0) at(`#post-${post}`)?.closest("li").remove(); // deleted
      for (const [name, number] of Object.entries(numbers)) {
        const shown = at(`#counts-${post} [data-count="${name}"]`);
        if (shown === null || shown.textContent === String(number)) continue;
        shown.textContent = number;
        shown.classList.remove("changed");
        void shown.offsetWidth; // so that the animation begins anew
        shown.classList.add("changed");
      }
    }
  });

  // "Show more" is gone after the click: go on reading at the first post it brought.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.elt.closest("#more")) {
      const last = at(".posts > li:nth-last-child(2)");
      document.addEventListener("htmx:afterSettle", () => {
        const next = last?.nextElementSibling?.querySelector("article");
        next?.setAttribute("tabindex", "-1");
        next?.focus({ preventScroll: true });
      }, { once: true });
    }
  });
})();
