// What the page says in the browser, in the language of its text. look.py writes here what it needs of texts/: of each
// language, the English -> what stands for it.
(() => {
    const texts = TEXTS;

    // A sentence; text: the English, with names in braces for the fields.
    function say(text, fields = {}) {
        const told = texts[document.documentElement.lang]?.[text] ?? text;
        return told.replace(/\{(\w+)\}/g, (whole, name) => fields[name] ?? whole);
    }

    // The page in another language, with all of the state that an address tells. A photo of one's own stays behind.
    const own = () => location.search.length > 1 && !new URLSearchParams(location.search).has("photo");
    for (const kind of ["pointerdown", "focusin", "click"]) {
        addEventListener(kind, ({target}) => {
            const link = target.closest?.(".languages a");
            if (link) link.search = location.search;
        }, true);
    }

    // What gradio says in English alone, whatever the page speaks.
    const GRADIO = [
        [/^number input for (.+)$/, (label) => say("{label}: number", {label})],
        [/^range slider for (.+)$/, (label) => say("{label}: slider", {label})],
        [/^Reset to default value$/, () => say("Reset")],
        [/^Fullscreen$/, () => say("Full screen")],
        [/^Exit fullscreen mode$/, () => say("Leave full screen")],
        [/^Thumbnail (\d+) of (\d+)$/, (number, count) => say("Picture {number} of {count}", {number, count})],
        [/^copy$/, () => say("Copy")],
        [/^Close$/, () => say("Close")],
        [/^Error\s*$/, () => say("Error")],
        [/^Info\s*$/, () => say("Info")],
        [/^common\.complete$/, () => say("Done")], // names of texts that its own tables lack
        [/^common\.progress$/, () => say("Progress")],
        [/^status\.queue_position$/, () => say("In the queue")],
        [/^Gradio footer navigation$/, () => say("Foot of the page")],
        [/^\s*queue: (\d+)\/(\d*) \|\s*$/, (place, count) => say("place {place} of {count} in the queue |",
            {place, count: count || place})],
        [/^In queue: (\d+) of (\d+)$/, (place, count) => say("In the queue: {place} of {count}", {place, count})],
        [/^\s*processing \|\s*$/, () => say("computing |")],
    ];
    const LABELS = ["aria-label", "title"];

    function anew(english) {
        for (const [shape, told] of GRADIO) {
            const found = shape.exec(english);
            if (found) return told(...found.slice(1));
        }
        return english;
    }

    function tell(node) {
        if (node.nodeType === Node.TEXT_NODE) {
            const told = anew(node.data);
            if (told !== node.data) node.data = told;
            return;
        }
        for (const name of LABELS) {
            const before = node.getAttribute?.(name);
            if (before && anew(before) !== before) node.setAttribute(name, anew(before));
        }
    }

    function tellAll(root) {
        tell(root);
        const walk = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
        while (walk.nextNode()) tell(walk.currentNode);
    }

    if (texts[document.documentElement.lang]) {
        const seen = (changes) => changes.forEach(({type, target, addedNodes}) => {
            if (type === "childList") addedNodes.forEach(tellAll);
            else tell(target);
        });
        tellAll(document.body);
        new MutationObserver(seen).observe(document.body,
            {subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: LABELS});
    }

    // After each answer: does what is shown go along to the page in another language? And names for what gradio leaves
    // without one.
    function speak() {
        for (const note of document.querySelectorAll(".languages small")) note.hidden = !own();
        document.querySelectorAll("#examples .gallery-item").forEach((example, index) => {
            example.ariaLabel = say("Example {number}", {number: index + 1});
        });
        document.querySelector("#stage")?.setAttribute("data-drop", say("Drop the photo to explain it"));
    }

    window.convlensLanguage = {say, speak, own};
})();
