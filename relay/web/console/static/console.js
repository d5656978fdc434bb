// Lists that say so refresh themselves; without this, the page is loaded again by hand.
"use strict";

for (const part of document.querySelectorAll("[data-refresh]")) {
  const seconds = Number(part.dataset.refresh);
  const again = async () => {
    const busy = document.hidden || part.contains(document.activeElement);
    if (!busy && !part.querySelector("details[open]")) {
      try {
        const answer = await fetch(location.href, { redirect: "error" });
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.querySelector("[data-refresh]");
        if (answer.ok && fresh) part.replaceChildren(...fresh.childNodes);
      } catch {
        // The daemon is restarted, or the session is over: the page stays as it is.
      }
    }
    setTimeout(again, seconds * 1000);
  };
  setTimeout(again, seconds * 1000);
}
