// The brush of the panel "Erase": what is erased is kept here while one draws, and posted where the brush is lifted.
// The server answers with the panel anew, in which gradio keeps the elements that are still there.
(() => {
    const board = () => document.querySelector("#answer .board");
    const LIFTED = 250; // ms after a stroke, in which another may begin
    const MOST = 50; // strokes that can be undone
    const state = {photo: "", mask: null, past: [], turn: 0, radius: 5, row: 0, column: 0, stroke: null};

    // Cells are bits, the first the highest of its byte.
    function packed(mask) {
        const bytes = new Uint8Array(Math.ceil(mask.length / 8));
        mask.forEach((cell, index) => { if (cell) bytes[index >> 3] |= 128 >> (index & 7); });
        return btoa(String.fromCharCode(...bytes));
    }

    function unpacked(text, count) {
        const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
        return Uint8Array.from({length: count}, (_, index) => bytes[index >> 3] >> (7 - (index & 7)) & 1);
    }

    function post(more, wait = 0) {
        const {photo, fill, draw} = board().dataset;
        state.turn += 1;
        const wish = {photo, fill, draw: Number(draw), mask: packed(state.mask), turn: state.turn, ...more};
        window.convlensPanels.wish(wish, wait);
    }

    function keep() {
        state.past.push(state.mask.slice());
        if (state.past.length > MOST) state.past.shift();
    }

    // The panel was drawn: for another photo all begins anew. A mask that the server made is taken up; one that was
    // posted before the last stroke is not.
    function drawn() {
        const here = board();
        const canvas = here?.querySelector("canvas");
        if (!canvas) return;
        const {photo, mask, turn} = here.dataset;
        const count = canvas.width * canvas.height;
        if (state.photo !== photo || state.mask?.length !== count) {
            const first = {turn: Number(turn), past: [], row: 0, column: 0, stroke: null};
            Object.assign(state, {photo, mask: unpacked(mask, count)}, first);
        } else if (!state.stroke && Number(turn) === state.turn && mask !== packed(state.mask)) {
            keep();
            state.mask = unpacked(mask, count);
        }
        for (const button of here.querySelectorAll("[data-brush]")) {
            button.ariaPressed = String(Number(button.dataset.brush) === state.radius);
        }
        paint();
    }

    function paint() {
        const here = board();
        const [canvas, fill] = [here?.querySelector("canvas"), here?.querySelector(".fill")];
        if (!canvas || !state.mask) return;
        const context = canvas.getContext("2d");
        const pixels = context.createImageData(canvas.width, canvas.height);
        state.mask.forEach((cell, index) => { pixels.data[4 * index + 3] = cell ? 255 : 0; });
        context.globalCompositeOperation = "source-over";
        context.putImageData(pixels, 0, 0);
        context.globalCompositeOperation = "source-in"; // what lies there instead, where something is erased
        if (fill?.complete && fill.naturalWidth) context.drawImage(fill, 0, 0, canvas.width, canvas.height);
        if (!canvas.matches(":focus-visible")) return;
        const side = Number(here.dataset.cell);
        context.globalCompositeOperation = "source-over";
        for (const [color, inset] of [["#fff", 0.5], ["#000", 1.5]]) {
            context.strokeStyle = color;
            const [x, y] = [state.column * side, state.row * side];
            const [wide, tall] = [Math.min(side, canvas.width - x), Math.min(side, canvas.height - y)];
            context.strokeRect(x + inset, y + inset, wide - 2 * inset, tall - 2 * inset);
        }
    }

    function dab(canvas, x, y) {
        for (let row = Math.ceil(y - state.radius); row <= y + state.radius; row++) {
            for (let column = Math.ceil(x - state.radius); column <= x + state.radius; column++) {
                const inside = row >= 0 && row < canvas.height && column >= 0 && column < canvas.width;
                if (inside && Math.hypot(row - y, column - x) <= state.radius) {
                    state.mask[row * canvas.width + column] = 1;
                }
            }
        }
    }

    // The canvas may be another one than a moment ago, so a stroke listens to the window.
    function place(canvas, {clientX, clientY}) {
        const box = canvas.getBoundingClientRect();
        return [
            (clientX - box.left) / box.width * canvas.width - 0.5,
            (clientY - box.top) / box.height * canvas.height - 0.5,
        ];
    }

    function draw(event) {
        const canvas = board()?.querySelector("canvas");
        if (!canvas) return;
        const [x, y] = place(canvas, event);
        const [fromX, fromY] = state.stroke?.at ?? [x, y];
        const steps = Math.max(1, Math.ceil(Math.hypot(x - fromX, y - fromY)));
        for (let step = 1; step <= steps; step++) {
            dab(canvas, fromX + (x - fromX) * step / steps, fromY + (y - fromY) * step / steps);
        }
        state.stroke.at = [x, y];
        paint();
    }

    addEventListener("pointerdown", (event) => {
        if (event.button || !event.isPrimary || !event.target.matches?.("#answer .board canvas")) return;
        if (!state.mask) return;
        keep();
        state.stroke = {pointer: event.pointerId, at: null};
        draw(event);
    });
    addEventListener("pointermove", (event) => {
        if (state.stroke?.pointer !== event.pointerId) return;
        const passed = event.getCoalescedEvents?.() ?? [];
        for (const one of passed.length ? passed : [event]) draw(one);
    });
    function lift(event) {
        if (state.stroke?.pointer !== event.pointerId) return;
        state.stroke = null;
        if (board()) post({}, LIFTED);
    }
    addEventListener("pointerup", lift);
    addEventListener("pointercancel", lift);

    addEventListener("click", ({target}) => {
        const button = target.closest?.("#answer .erase button");
        if (!button || !board() || !state.mask) return;
        const {brush, fill, step, top, elsewhere, again} = button.dataset;
        const {draw, top: last} = board().dataset;
        if (brush) {
            state.radius = Number(brush);
            drawn();
        } else if (fill) {
            post(Number(last) ? {fill, top: Number(last)} : {fill});
        } else if (top) {
            post({top: Number(top)});
        } else if (elsewhere !== undefined) {
            post({elsewhere: true, draw: (Number(draw) + 1) % 1000});
        } else if (again !== undefined) {
            post({top: Number(last), draw: (Number(draw) + 1) % 1000});
        } else if (step === "undo" && state.past.length) {
            state.mask = state.past.pop();
            paint();
            post({});
        } else if (step === "clear" && state.mask.includes(1)) {
            keep();
            state.mask.fill(0);
            paint();
            post({});
        }
    });

    // By keyboard: a coarser grid, in which arrow keys move and space erases a cell, or brings it back.
    addEventListener("keydown", (event) => {
        const canvas = event.target.closest?.("#answer .board canvas");
        if (!canvas || !state.mask) return;
        if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            board().querySelector("[data-step=undo]").click();
            return;
        }
        const side = Number(board().dataset.cell);
        const [rows, columns] = [Math.ceil(canvas.height / side), Math.ceil(canvas.width / side)];
        const step = {
            ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0], " ": [0, 0],
        }[event.key];
        if (!step) return;
        event.preventDefault();
        state.row = Math.min(rows - 1, Math.max(0, state.row + step[0]));
        state.column = Math.min(columns - 1, Math.max(0, state.column + step[1]));
        const cells = [];
        for (let row = state.row * side; row < Math.min(canvas.height, (state.row + 1) * side); row++) {
            for (let column = state.column * side; column < Math.min(canvas.width, (state.column + 1) * side); column++) {
                cells.push(row * canvas.width + column);
            }
        }
        let gone = cells.every((cell) => state.mask[cell]);
        if (event.key === " ") {
            keep();
            gone = !gone;
            for (const cell of cells) state.mask[cell] = gone ? 1 : 0;
            post({}, LIFTED);
        }
        const fields = {row: state.row + 1, rows, column: state.column + 1, columns};
        const text = board().dataset[gone ? "erasedCell" : "keptCell"];
        board().querySelector("[role=status]").textContent = text.replace(/{(\w+)}/g, (_, name) => fields[name]);
        paint();
    });
    for (const kind of ["focusin", "focusout"]) {
        addEventListener(kind, ({target}) => target.matches?.("#answer .board canvas") && paint());
    }
    addEventListener("load", ({target}) => target.matches?.("#answer .board .fill") && paint(), true);
    addEventListener("convlens:open", () => { state.photo = ""; });
    addEventListener("convlens:answer", drawn);
})();
