// The little that htmx leaves to us: the event stream, when a changed feed may be shown at once, and what to say when nobody answers.
"use strict";
(() => {
  const at = (selector) => document.querySelector(selector);
  const newer = () => at("#newer");

  // A reader who has scrolled down, opened a post, begun to type or walks by keyboard must not have the page pulled away.
  const busy = () =>
    window.scrollY > 160 ||
    at(".comments, .dots[open]") !== null ||
    (document.activeElement !== null && at("#feed")?.contains(document.activeElement) && document.activeElement.matches("input, :focus-visible"));

  const refresh = () => {
    newer().hidden = true;
    htmx.trigger("#feed", "feed:refresh");
  };

  const say = (text, kind) => {
    const line = document.createElement("p");
    line.className = `notice bad ${kind}`;
    line.textContent = text;
    at("#notice").replaceChildren(line);
  };

  // Being only ranked anew is not worth an interruption: then nothing is said.
  const changed = (count) => {
    if (!busy()) return refresh();
    newer().textContent = `${count} new post${count === 1 ? "" : "s"}`;
    newer().hidden = count === 0;
  };

  // The stream says at once what changed since the snapshot on the page; while there is none, the pulse does.
  let stream = null, followed = null, pause = 1000, notBefore = 0;
  const unfollow = () => {
    stream?.close();
    stream = followed = null;
  };
  const follow = () => {
    const [feed, shown] = [at("#feed[data-stream]"), at("#shown")?.value ?? ""];
    if (feed === null || document.hidden || Date.now() < notBefore || (stream !== null && shown === followed)) return;
    unfollow();
    followed = shown;
    const opened = (stream = new EventSource(`${feed.dataset.stream}?since=${shown}`));
    let count = 0;
    opened.addEventListener("open", () => (pause = 1000));
    opened.addEventListener("snapshot_replaced", () => changed(count));
    opened.addEventListener("new_posts", (event) => changed((count = JSON.parse(event.data).count)));
    opened.addEventListener("error", () => {
      // The browser comes back by itself after a lost connection, but not after a refusal, as of a ticket used before.
      if (stream !== opened || opened.readyState !== EventSource.CLOSED) return;
      unfollow();
      const wait = pause * (0.5 + Math.random());
      notBefore = Date.now() + wait;
      setTimeout(follow, wait + 1);
      pause = Math.min(2 * pause, 60000);
    });
  };
  addEventListener("DOMContentLoaded", follow);
  document.addEventListener("visibilitychange", () => (document.hidden ? unfollow() : follow()));
  document.addEventListener("htmx:afterSettle", follow);

  document.addEventListener("feed:changed", (event) => {
    if (stream?.readyState !== EventSource.OPEN) changed(event.detail.newer);
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
      const stood = open.contains(document.activeElement);
      open.open = false;
      if (stood) open.querySelector("summary").focus();
    }
  });

  // Nobody looks at a hidden tab: its polls would only cost the server. A list is not renewed under a reader's eyes.
  document.addEventListener("htmx:beforeRequest", (event) => {
    const { elt, requestConfig } = event.detail;
    const read = elt.querySelector(":scope .place[open]") !== null;
    const closed = elt.matches(".place:not([open])");
    if ((document.hidden || read || closed) && requestConfig.verb === "get") event.preventDefault();
  });

  // A page without its status line would stop asking. What is lost of the page's own rounds is said once and forgotten with
  // the next good answer; an act that came to nothing is repeated by nobody: it is told until another one succeeds.
  const acts = (event) => event.detail.requestConfig.verb !== "get";
  const failed = (event) => {
    if (acts(event)) say("The server did not answer: this may not have been done. Try again in a moment.", "undone");
    else if (at("#notice .undone") === null) say("The server does not answer. This page keeps trying.", "lost");
  };
  document.addEventListener("htmx:sendError", failed);
  document.addEventListener("htmx:timeout", failed);
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, requestConfig } = event.detail;
    // What is not ours to show (a proxy's page, a bare error) never replaces a part of the page.
    if (xhr.status >= 400 && xhr.getResponseHeader("HX-Retarget") === null) {
      event.detail.shouldSwap = false;
      if (acts(event)) say(`That did not work (${xhr.status}). Try again in a moment.`, "undone");
      else if (xhr.status >= 500) failed(event);
      else if (requestConfig.elt.id === "pulse") say(`This page is told nothing any more (${xhr.status}). Load it again.`, "lost");
    } else if (at(acts(event) ? "#notice .bad" : "#notice .lost") !== null) at("#notice").replaceChildren();
  });

  const standAt = (article) => {
    article.setAttribute("tabindex", "-1");
    article.focus({ preventScroll: true });
  };

  // Who stands in a post that goes away goes on at the one behind it, or before it.
  const takeAway = (item) => {
    const articleOf = (other) => other?.querySelector("article");
    const next = articleOf(item?.nextElementSibling) ?? articleOf(item?.previousElementSibling);
    const stood = item?.contains(document.activeElement);
    item?.remove();
    if (stood && next) standAt(next);
  };

  // The counts of now, as the pulse brought them. Only numbers change: a button must not be replaced under a finger.
  document.addEventListener("htmx:afterSwap", () => {
    for (const [post, numbers] of Object.entries(JSON.parse(at("#pulse")?.dataset.counts ?? "{}"))) {
      if (Object.keys(numbers).length === 0) takeAway(at(`#post-${post}`)?.closest("li")); // deleted
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

  // A pressed button may be replaced or gone afterwards. The focus goes to the one that stands in its place, from a post that
  // left to the one behind it, and where there is nothing to go on with, to what is said of the act.
  let goOn = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!event.detail.shouldSwap) goOn = null;
    const form = event.detail.shouldSwap && document.activeElement?.closest('form[hx-target="#notice"]');
    if (!form) return;
    const named = (part, of) => [...of.classList].find((name) => name.startsWith(part));
    const same = `.${named("rel-", form) ?? "none"} button`;
    const place = [...document.querySelectorAll(same)].indexOf(document.activeElement);
    const card = form.closest("article");
    const all = [...document.querySelectorAll(".posts article")];
    const others = (cards) => cards.find((other) => named("by-", other) !== named("by-", card));
    const next = card && (others(all.slice(all.indexOf(card))) ?? others(all.slice(0, all.indexOf(card)).reverse()));
    goOn = () => {
      const button = document.querySelectorAll(same)[place] ?? (next?.isConnected ? null : at("#notice button"));
      if (button) button.focus({ preventScroll: true });
      else if (next?.isConnected) standAt(next);
      else at("#notice").focus();
    };
  });
  document.addEventListener("htmx:afterSettle", () => {
    if (document.activeElement === document.body) goOn?.();
    goOn = null;
  });

  // "Show more" is gone after the click: go on reading at the first post it brought. The pulse may settle before that.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (!event.detail.elt.closest("#more")) return;
    const asked = event.detail.xhr;
    const last = at(".posts > li:nth-last-child(2)");
    const readOn = (settled) => {
      if (settled.detail.xhr !== asked) return;
      document.removeEventListener("htmx:afterSettle", readOn);
      const next = last?.nextElementSibling?.querySelector("article");
      if (next) standAt(next);
    };
    document.addEventListener("htmx:afterSettle", readOn);
  });
})();
