// A place on the page's picture, framed by what the units there see. While the panel "What fires here" is open, a click
// on the picture, or arrow keys, ask which channels fire there; the frame follows the slider without a question, since
// the panel's answer has told the fields of all layers.
(() => {
    const find = (selector) => document.querySelector(selector);
    const SETTLES = 350; // ms after the last arrow key
    const MARK = 5; // pixels of the screen from a mark's middle to its end
    let known = null; // what the answer has told, see places.py
    let waits = null; // a timer, and the point that it asks about
    let next = null;

    // Coordinates are the photo's pixels, [y, x], but for those of the drawing, which are the picture's own.
    const drawn = ([y, x]) => [y, x].map((at, axis) => (at - known.shown[axis]) / known.shown[axis + 2] * known.picture[axis]);
    const onPhoto = (at) => at.map((one, axis) => known.shown[axis] + one / known.picture[axis] * known.shown[axis + 2]);
    const share = (point) => point.map((at, axis) => (at - known.window[axis]) / known.window[axis + 2]);
    const seen = (point) => share(point).every((one) => one >= 0 && one < 1);

    // The place of the layer that a point lies on, and its field in pixels of the input: [top, left, bottom, right].
    function unit(point) {
        const [size, rows, columns, everywhere] = known.layers[known.layer];
        const place = share(point).map((one, axis) => Math.floor(one * size[axis]));
        const [top, bottom] = interval(rows, place[0]);
        const [left, right] = interval(columns, place[1]);
        return {place, size, everywhere, field: [top, left, bottom, right]};
    }

    function interval([first, end, step], at) {
        const [turn, r] = [Math.floor(at / first.length), at % first.length];
        return [first[r] + turn * step, end[r] + turn * step];
    }

    // A box in shares of what the network sees, as one on the picture, cut off at its edge.
    function box(low, high) {
        const corners = [low, high].map((shares) => drawn(shares.map((one, axis) => known.window[axis] + one * known.window[axis + 2])));
        const [[top, left], [bottom, right]] = corners.map((corner) =>
            corner.map((at, axis) => Math.max(0, Math.min(at, known.picture[axis]))));
        return {x: left, y: top, width: right - left, height: bottom - top};
    }

    function overlay() {
        const made = find("#field");
        if (made) return made;
        const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
        svg.id = "field";
        svg.tabIndex = 0;
        svg.setAttribute("role", "application");
        svg.innerHTML = '<rect class="under"/><rect class="over"/><rect class="cell"/><path class="under"/><path class="over"/>';
        svg.addEventListener("click", ({clientX, clientY}) => {
            const {x, y} = new DOMPoint(clientX, clientY).matrixTransform(svg.getScreenCTM().inverse());
            if (x >= 0 && y >= 0 && x < known.picture[1] && y < known.picture[0]) go(onPhoto([y, x]), 0);
        });
        svg.addEventListener("keydown", (event) => {
            const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
            if (!step) return;
            event.preventDefault();
            event.stopPropagation();
            const [size, [top, left, tall, wide]] = [known.layers[known.layer][0], known.window];
            const from = known.point && seen(known.point) ? unit(known.point).place : size.map((one) => Math.floor(one / 2));
            const to = from.map((at, axis) => Math.max(0, Math.min(at + (known.point ? step[axis] : 0), size[axis] - 1)));
            go([top + (to[0] + 0.5) / size[0] * tall, left + (to[1] + 0.5) / size[1] * wide], SETTLES);
        });
        find("#picture").append(svg);
        return svg;
    }

    // The point is framed at once; what fires there is asked for when it stays.
    function go(point, settles) {
        next = known.point = point.map((at, axis) => Math.max(0, Math.min(at, known.photo[axis] - 1e-6)));
        draw();
        clearTimeout(waits);
        waits = setTimeout(() => {
            const [row, column] = next.map(Math.floor);
            next = null;
            window.convlensPanels.wish({...known.wish, row, column});
        }, settles);
    }

    function draw() {
        const svg = overlay();
        const [height, width] = known.picture;
        svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
        svg.setAttribute("aria-label", known.says.name);
        svg.classList.toggle("marked", Boolean(known.point));
        if (!known.point) return tell("");
        const [y, x] = drawn(known.point);
        const mark = MARK / svg.getScreenCTM().a;
        for (const path of svg.querySelectorAll("path")) {
            path.setAttribute("d", `M${x - mark} ${y}h${2 * mark}M${x} ${y - mark}v${2 * mark}`);
        }
        const inside = seen(known.point);
        for (const rect of svg.querySelectorAll("rect")) rect.style.display = inside ? "" : "none";
        if (!inside) return tell(known.says.outside);
        const {place, size, everywhere, field} = unit(known.point);
        const cut = field.map((at, side) => Math.max(0, Math.min(at, known.crop[side % 2])));
        const shares = cut.map((at, side) => at / known.crop[side % 2]);
        const frame = box(shares.slice(0, 2), shares.slice(2));
        const cell = box(place.map((at, axis) => at / size[axis]), place.map((at, axis) => (at + 1) / size[axis]));
        for (const rect of svg.querySelectorAll("rect")) {
            for (const [name, value] of Object.entries(rect.matches(".cell") ? cell : frame)) rect.setAttribute(name, value);
        }
        const numbers = {
            row: place[0], column: place[1], rows: size[0], columns: size[1],
            height: field[2] - field[0], width: field[3] - field[1], tall: cut[2] - cut[0], wide: cut[3] - cut[1],
        };
        const none = numbers.tall <= 0 || numbers.wide <= 0;
        const kind = none ? "padding" : field.every((at, side) => at === cut[side]) ? "field" : "cut";
        const told = known.says[kind].replace(/{(\w+)}/g, (_, name) => numbers[name]);
        tell(everywhere ? `${told} ${known.says.global}` : told);
    }

    function tell(text) {
        const [line, go] = [find("#place p"), find("#place .go")];
        if (line.textContent !== text) line.textContent = text;
        go.textContent = known?.says.go ?? "";
        go.hidden = !text;
    }

    addEventListener("click", ({target}) => {
        const there = target.closest?.("[data-go]")?.dataset.go;
        if (there) find(there)?.scrollIntoView({block: "start"});
    });

    function leave() {
        clearTimeout(waits);
        find("#field")?.remove();
        known = next = null;
        tell("");
    }

    let before = null; // the unit that was followed back last: another one is brought into sight
    addEventListener("convlens:answer", () => {
        const told = find("#answer #places");
        if (!told) return leave();
        const focused = document.activeElement === find("#field");
        known = JSON.parse(told.dataset.places);
        known.point = next ?? known.point;
        draw();
        if (focused) find("#field").focus();
        const followed = find("#answer .followed");
        if (followed && followed.dataset.unit !== before) followed.scrollIntoView({block: "nearest"});
        before = followed?.dataset.unit ?? null;
    });
    addEventListener("convlens:layer", ({detail}) => {
        if (!known) return;
        known.layer = detail - 1;
        draw();
    });
    addEventListener("convlens:anew", leave);
})();
