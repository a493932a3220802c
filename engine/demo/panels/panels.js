// The panels below the picture: a row of buttons, and the answer of the one that is open. Which one that is, and what
// a visitor did in it, is known here alone; the address keeps its name.
(() => {
    const find = (selector) => document.querySelector(selector);
    const SETTLES = 350; // ms after the slider's last step
    const open = {name: "", wish: {}};
    let ask = null;
    let waits = null;
    let own = ""; // the path of the last photo that was no example

    function wishes(element, props, trigger) {
        const post = window.convlensAsking.asking(props, trigger);
        ask = () => post({panel: open.name, wish: own ? {...open.wish, own} : open.wish});
    }

    function panels(element) {
        element.addEventListener("click", ({target}) => {
            const button = target.closest?.("[data-panel]");
            if (button) choose(button.dataset.panel === open.name ? "" : button.dataset.panel);
        });
        const wanted = new URLSearchParams(location.search).get("panel");
        if (wanted && element.querySelector(`[data-panel="${CSS.escape(wanted)}"]`)) choose(wanted, false);
    }

    const button = () => open.name && find(`#panels [data-panel="${open.name}"]`);

    function choose(name, now = true) {
        clearTimeout(waits);
        Object.assign(open, {name, wish: {}});
        tell("open");
        mark();
        const told = new URLSearchParams(location.search);
        if (name) told.set("panel", name);
        else told.delete("panel");
        history.replaceState(null, "", `${location.pathname}?${told}`);
        if (now) ask?.();
    }

    function mark() {
        for (const button of document.querySelectorAll("#panels [data-panel]")) {
            button.ariaExpanded = String(button.dataset.panel === open.name);
        }
        const body = find("#answer");
        if (body) body.hidden = !open.name;
        if (!open.name) clearTimeout(waits);
    }

    // wait: ms in which another wish may still take its place.
    function wish(wanted, wait = 0) {
        open.wish = wanted;
        clearTimeout(waits);
        waits = setTimeout(() => ask?.(), wait);
    }

    addEventListener("click", ({target}) => {
        const wanted = target.closest?.("#answer [data-wish]")?.dataset.wish;
        if (wanted) wish(JSON.parse(wanted));
        const method = target.closest?.("#answer [data-method]")?.dataset.method;
        if (method) find(`#method [data-method="${CSS.escape(method)}"]`)?.click();
        const copies = target.closest?.("#answer [data-copy]");
        if (copies) copy(copies);
    });

    // A field shows its number while it moves, and draws the panel anew where it is let go.
    addEventListener("input", ({target}) => {
        const told = target.matches?.("#answer [data-field]") && target.parentElement.querySelector("output");
        if (told) told.textContent = `${target.value} %`;
    });
    addEventListener("change", ({target}) => {
        if (!target.matches?.("#answer [data-field]")) return;
        wish({...open.wish, [target.dataset.field]: Number(target.value)});
    });

    async function copy(button) {
        const told = button.nextElementSibling;
        try {
            await navigator.clipboard.writeText(find(`#${CSS.escape(button.dataset.copy)}`).textContent);
            told.textContent = button.dataset.copied;
        } catch { // no page but a secure one may write there
            told.textContent = button.dataset.failed;
        }
    }

    addEventListener("submit", (event) => {
        if (!event.target.matches?.("#answer [data-form]")) return;
        event.preventDefault();
        const numbers = [...new FormData(event.target)].map(([name, value]) => [name, Number(value)]);
        wish({...JSON.parse(event.target.dataset.form), ...Object.fromEntries(numbers)});
    });

    // An answer takes the place of the one before, and of what had the focus there: it goes to what says the same
    // now, or has come to stand where that stood.
    const tell = (kind, detail) => dispatchEvent(new CustomEvent(`convlens:${kind}`, {detail}));
    const choices = () => [...document.querySelectorAll("#answer :is(button, input)")];
    const same = (a) => (b) => [b.name, b.dataset.wish, b.textContent].join() === [a.name, a.dataset.wish, a.textContent].join();
    let held = null;
    function hold({target}) {
        const at = choices().indexOf(target);
        held = at < 0 ? null : {target, at};
    }

    function answered() {
        tell("answer");
        const now = choices();
        if (!held || document.activeElement !== document.body || now.includes(held.target)) return;
        (now.find(same(held.target)) ?? now[Math.min(held.at, now.length - 1)])?.focus({preventScroll: true});
    }

    function answer(element, watch) {
        addEventListener("focusin", hold);
        watch("value", answered);
    }

    // What the page shows has changed: what was done in most panels was about what it showed before.
    function anew() {
        const [, path] = find("#photo img")?.src.split("/file=") ?? [];
        if (path && !/\/examples\/[^/]*$/.test(path)) own = decodeURIComponent(path);
        mark();
        tell("anew");
        if (!open.name || !ask) return;
        if (!("keeps" in (button()?.dataset ?? {}))) open.wish = {};
        ask();
    }

    function moved(layer) {
        tell("layer", layer);
        if ("layered" in (button()?.dataset ?? {})) wish(open.wish, SETTLES);
    }

    // An address that names a panel opens it, and the next answer draws it.
    const visit = (name) => name && name !== open.name && choose(name, false);

    window.convlensPanels = {panels, wishes, answer, wish, anew, moved, visit, kept: () => open.name};
})();
