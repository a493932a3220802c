// An answer renders parts of the page anew. What a person had unfolded there stays unfolded, and the keyboard stays
// where it was: otherwise a list closes under the hand that is choosing from it, and Tab begins at the top again.
(() => {
    const PARTS = "#heading, #classes, #stages, #method, #about, #panels";
    const STOPS = "button, summary, a[href], input";

    const unfolded = new Set();
    addEventListener("toggle", ({target}) => {
        if (target.closest?.(PARTS)) unfolded[target.open ? "add" : "delete"](target.className);
    }, true);

    // A choice from a list closes the list.
    addEventListener("click", ({target}) => {
        const list = target.closest?.("[data-method]")?.closest("details");
        if (!list) return;
        list.querySelector("summary").focus();
        list.open = false;
        unfolded.delete(list.className);
    });

    let held = null; // the button that the keyboard is at, and how to find the one that comes in its place
    const told = (node) => node.localName + JSON.stringify({...node.dataset});
    addEventListener("focusin", ({target}) => {
        const part = target.closest?.(PARTS);
        const at = part && [...part.querySelectorAll(STOPS)].indexOf(target);
        held = part && {node: target, part: part.id, name: told(target), at};
    });
    addEventListener("pointerdown", () => held = null, true);

    new MutationObserver(() => {
        for (const fold of document.querySelectorAll("details:not([open])")) {
            if (unfolded.has(fold.className)) fold.open = true;
        }
        if (!held || held.node.isConnected) return;
        const stops = [...document.querySelectorAll(`#${held.part} :is(${STOPS})`)];
        const same = stops.find((node) => told(node) === held.name && Object.keys(node.dataset).length);
        if (document.activeElement === document.body) (same ?? stops[held.at])?.focus({preventScroll: true});
    }).observe(document, {childList: true, subtree: true});
})();
