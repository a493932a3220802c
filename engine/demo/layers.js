// What lies under the slider: the network drawn small, its stages, and the layers one after the other. Pads, norms and
// what only moves values are folded away: the slider and the sheet of all layers pass over them until they are asked for.
(() => {
    const find = (selector) => document.querySelector(selector);
    const {say} = window.convlensLanguage;
    const box = () => find("#layer input[type=number]");
    const put = (field, value) => {
        field.value = value;
        field.dispatchEvent(new Event("input", {bubbles: true}));
    };

    const sheet = document.head.appendChild(document.createElement("style"));
    let all = false;
    let folded = new Set();

    // The layer itself or the nearest one that is shown, looked for from there on and then the other way.
    function shown(layer, step) {
        const most = Number(box()?.max);
        for (const way of [step, -step]) {
            for (let at = layer; at >= 1 && at <= most; at += way) if (!folded.has(at)) return at;
        }
        return layer;
    }

    // This comes before gradio reads the track.
    addEventListener("input", ({target}) => {
        if (!target.matches?.("#layer input[type=range]")) return;
        const [wanted, before] = [Number(target.value), Number(box()?.value)];
        target.value = shown(wanted, wanted > before ? 1 : -1);
    }, true);

    function mark(layer) {
        const fold = find("#stages .fold");
        folded = new Set(!fold || all ? [] : fold.dataset.folded.split(",").map(Number));
        sheet.textContent = [...folded].map((at) => `#frames .grid-container > :nth-child(${at})`).join(",")
            + (folded.size ? "{display:none}" : "");
        if (fold) fold.ariaPressed = String(all);
        for (const part of document.querySelectorAll("#stages [data-layer]")) {
            const [first, last] = [Number(part.dataset.first ?? part.dataset.layer), Number(part.dataset.layer)];
            part.ariaCurrent = String(layer >= first && layer <= last);
        }
        const track = find("#layer input[type=range]");
        const name = JSON.parse(find("#stages .network")?.dataset.names ?? "[]")[layer - 1];
        const spoken = say("{name}, layer {number} of {layers}", {name, number: layer, layers: track?.max});
        if (track && name) track.setAttribute("aria-valuetext", spoken);
        const warning = find("#trust strong"); // what a method can't tell below the last layer
        if (warning) warning.hidden = layer >= Number(box()?.max);
    }

    let playing = null;
    function stop() {
        clearInterval(playing);
        playing = null;
        const button = find("#stages .play");
        if (button) Object.assign(button, {textContent: "\u25b6", ariaLabel: say("Play the layers")});
    }

    function play(button) {
        Object.assign(button, {textContent: "\u275a\u275a", ariaLabel: say("Stop")});
        if (Number(box().value) >= Number(box().max)) put(box(), shown(1, 1));
        playing = setInterval(() => {
            const next = box() && Number(box().value) < Number(box().max) && shown(Number(box().value) + 1, 1);
            if (!next) return stop();
            put(box(), next);
            if (next === Number(box().max)) stop();
        }, matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : 150);
    }

    addEventListener("click", ({target}) => {
        const part = target.closest?.("#stages [data-layer]");
        if (part) { stop(); put(box(), part.dataset.layer); }
        if (target.closest?.("#stages .fold")) { all = !all; mark(Number(box()?.value)); }
        const button = target.closest?.("#stages .play");
        if (button && playing) stop();
        else if (button) play(button);
    });

    window.convlensLayers = {mark, box, put};
})();
