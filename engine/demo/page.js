// What runs in the page beside gradio: photos that are dropped, pasted or taken with the camera, and the slider,
// which shows frames that are in the browser already. All listeners are the document's, since gradio renders, and
// renders anew, after this has run.
(() => {
    const find = (selector) => document.querySelector(selector);
    const {say, speak, own} = window.convlensLanguage;
    const {box, put} = window.convlensLayers;
    const mark = (layer) => { window.convlensLayers.mark(layer); rove(); };
    const editable = (node) => node?.closest?.("textarea, [contenteditable=true], input:not([type=file], [type=range], "
        + "[type=radio], [type=checkbox], [type=button])");

    // The page is shown once its first screen is whole, or what is there of it after a while.
    const whole = () => { document.documentElement.classList.add("whole"); rove(); };
    const settled = () => find("#picture img")?.complete && find("#photo img")?.complete
        && ["#heading h2", "#classes button", "#layer input", "#method .pills", "#view input", "#examples img",
            "#model input"].every(find);
    const since = performance.now();
    (function wait() {
        if (settled() || performance.now() - since > 8000) requestAnimationFrame(() => requestAnimationFrame(whole));
        else requestAnimationFrame(wait);
    })();

    // A click into a list selects what stands there, so that typing searches instead of adding to it.
    addEventListener("click", ({target}) => target.matches?.("input[role=combobox]") && target.select());

    // A photo of one's own. Whatever way it comes, it goes through the file input of the button "Your photo", as if
    // it had been chosen there; gradio uploads it from there.
    const input = () => {
        const before = find("#own-photo")?.previousElementSibling;
        return before?.type === "file" ? before : null;
    };

    function bring(file) {
        const carried = new DataTransfer();
        carried.items.add(file);
        const field = input();
        find("#words")?.close();
        if (field) {
            field.files = carried.files;
            field.dispatchEvent(new Event("change", {bubbles: true}));
        }
    }

    // The first thing that is a file. Where an entry is known, it tells folders, which look like files of no type.
    function first({files, items}) {
        const entry = items?.[0]?.webkitGetAsEntry?.();
        return files?.length && !entry?.isDirectory ? files[0] : null;
    }

    addEventListener("click", ({target}) => {
        if (target.closest?.("#own-photo")) input()?.setAttribute("accept", "image/*"); // a phone offers its camera
        if (target.closest?.("#own-camera")) openCamera();
        if (target.closest?.("#photo")) find("#own-photo").click();
    }, true);

    // The whole page takes a photo, since one that misses the stage would replace the page itself. What was picked up
    // in the page, its own pictures too, is not brought from outside.
    let ours = false;
    const carries = (event) => !ours && [...event.dataTransfer.types].includes("Files");
    const light = (on) => document.documentElement.classList.toggle("receives", on); // gradio writes the stage's own
    addEventListener("dragstart", () => ours = true, true);
    addEventListener("dragend", () => ours = false, true);
    addEventListener("dragover", (event) => {
        if (!carries(event) && editable(event.target)) return; // text goes into a text field as ever
        event.preventDefault();
        event.stopPropagation();
        event.dataTransfer.dropEffect = carries(event) ? "copy" : "none";
        light(carries(event));
    }, true);
    addEventListener("dragleave", ({relatedTarget}) => relatedTarget ?? light(false), true);
    addEventListener("drop", (event) => {
        const wanted = carries(event);
        light(false);
        ours = false;
        if (!wanted && editable(event.target)) return;
        event.preventDefault();
        event.stopPropagation();
        const file = wanted && first(event.dataTransfer);
        if (file) bring(file);
    }, true);

    // Some programs put a picture of copied text beside the text: in a text field the text is meant.
    addEventListener("paste", (event) => {
        const file = event.clipboardData && first(event.clipboardData);
        if (!file || editable(event.target) && event.clipboardData.types.includes("text/plain")) return;
        event.preventDefault();
        event.stopPropagation();
        bring(file);
    }, true);

    async function openCamera() {
        const dialog = Object.assign(document.createElement("dialog"), {id: "camera", ariaLabel: say("Camera")});
        dialog.innerHTML = '<p role="status"></p><video autoplay playsinline muted hidden></video>'
            + '<div><button class="take" disabled></button><button class="leave"></button></div>';
        const [told, video, take, leave] = ["p", "video", ".take", ".leave"].map((name) => dialog.querySelector(name));
        told.textContent = say("Waiting for the camera …");
        take.textContent = say("Take the photo");
        leave.textContent = say("Cancel");
        let stream = null;
        const stop = () => stream?.getTracks().forEach((track) => track.stop());
        dialog.addEventListener("close", () => { stop(); dialog.remove(); });
        leave.addEventListener("click", () => dialog.close());
        take.addEventListener("click", () => {
            const canvas = Object.assign(document.createElement("canvas"),
                {width: video.videoWidth, height: video.videoHeight});
            canvas.getContext("2d").drawImage(video, 0, 0);
            canvas.toBlob((blob) => bring(new File([blob], "camera.jpg", {type: "image/jpeg"})), "image/jpeg", 0.92);
            dialog.close();
        });
        document.body.append(dialog);
        dialog.showModal();
        try {
            stream = await navigator.mediaDevices.getUserMedia({video: {facingMode: "environment"}});
        } catch {
            told.textContent = say("The camera can't be used here: allow it in the browser, or choose a photo instead.");
            leave.textContent = say("Close");
            return;
        }
        if (!dialog.isConnected) return stop(); // it was closed while the browser asked
        video.srcObject = stream;
        video.addEventListener("loadeddata", () => {
            told.textContent = say("Hold still.");
            video.hidden = take.disabled = false;
            take.focus();
        });
    }

    // The slider shows frames that are in the browser already: moving it asks nothing of the server. It moves too
    // when an answer sets it, with the frames of the answer before: those lie in another folder than the picture.
    const folder = (image) => image?.path?.replace(/[^/\\]*$/, "");

    function show(layer, frames, picture, line, ranges, range) {
        mark(layer);
        const frame = frames?.length > 1 && frames[layer - 1];
        const ours = frame && folder(frame.image) === folder(picture);
        if (ours) stay(frame.caption);
        window.convlensPanels.moved(layer);
        return ours ? [frame.image, frame.caption, ranges?.[layer - 1] ?? range] : [picture, line, range];
    }

    // The layer's number, as it is typed. gradio would show a number that is too large until the box is left, make 1
    // of an empty one, and go back to the number that the page opened with, whatever the model: so this comes first.
    addEventListener("input", ({target}) => {
        if (target === box() && Number(target.value) > Number(target.max)) target.value = target.max;
    }, true);
    let last = null; // the number in the box before it was touched
    addEventListener("focusin", ({target}) => {
        if (target === box()) last = target.value;
    }, true);
    addEventListener("change", ({target}) => {
        if (target !== box()) return;
        const whole = Math.round(Number(target.value));
        if (target.value === "" || whole < 1) put(target, last ?? target.max);
        else if (whole !== Number(target.value)) put(target, Math.min(whole, Number(target.max)));
        last = target.value;
    }, true);
    addEventListener("click", (event) => {
        if (!event.target.closest?.("#layer .reset-button")) return;
        event.preventDefault();
        event.stopPropagation();
        put(box(), box().max); // the last layer, as the page opens
    }, true);

    // The frames weigh megabytes, so they are loaded when a hand comes near what moves through them, the nearest
    // layers first. Whoever was there already need not come again when the next answer's frames arrive.
    const MOVES = "#layer, #stages, #frames";
    let near = false;
    let waiting = [];

    function load() {
        near = true;
        const at = Number(box()?.value ?? 1) - 1;
        const order = [...waiting.entries()].sort(([a], [b]) => Math.abs(a - at) - Math.abs(b - at));
        if (order.length) window.convlens = order.map(([, {image}]) => Object.assign(new Image(), {src: image.url}));
        waiting = [];
    }
    for (const kind of ["pointerover", "pointerdown", "focusin"]) {
        addEventListener(kind, ({target}) => target.closest?.(MOVES) && load(), true);
    }

    // Buttons in a row are one stop of the Tab key, at the chosen one or the one that was there last; arrows move
    // within. So whoever has no mouse passes the stages, the classes, the methods and the panels in four steps.
    const ROWS = "#stages .stages, #classes .container, #method .pills, #panels .prose";
    const buttons = (row) => [...row.querySelectorAll("button")];
    const CHOSEN = "[aria-current=true], [aria-pressed=true], [aria-expanded=true]";

    function rove() {
        for (const row of document.querySelectorAll(ROWS)) {
            const all = buttons(row);
            const at = all.find((one) => one === document.activeElement) ?? all.find((one) => one.matches(CHOSEN)) ?? all[0];
            for (const one of all) one.tabIndex = one === at ? 0 : -1;
        }
    }
    addEventListener("focusin", ({target}) => target.closest?.(ROWS) && rove());
    addEventListener("keydown", (event) => {
        const row = event.target.closest?.(ROWS);
        const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
        if (!row || !step) return;
        const all = buttons(row);
        event.preventDefault();
        all[(all.indexOf(event.target) + step + all.length) % all.length]?.focus();
    });

    // When new frames have come: follow the slider where it has moved meanwhile.
    function fresh(layer, frames, picture, line, ranges, range) {
        mark(layer);
        speak();
        window.convlens = null;
        waiting = frames ?? [];
        if (near) load();
        window.convlensPanels.anew();
        const frame = frames?.length > 1 && frames[layer - 1];
        const shown = frame && frame.image.path === picture?.path?.replace("_large", "");
        if (frame) stay(frame.caption);
        return frame && !shown ? [frame.image, frame.caption, ranges?.[layer - 1] ?? range] : [picture, line, range];
    }

    // The sentence: each of its words opens a list of all classes, the most probable first, with a field to type in.
    function heading(element, props) {
        element.addEventListener("click", ({target}) => {
            const word = target.closest?.(".word");
            if (word) chooseClass(word.dataset.word, props, (index) => ask({[word.dataset.word]: index}));
        });
    }

    let ask = () => {};
    function asked(element, props, trigger) {
        ask = window.convlensAsking.asking(props, trigger, (before, what) =>
            "address" in what || "address" in (before ?? {}) ? what : {...before, ...what});
        if (travelling) go();
    }

    addEventListener("click", ({target}) => {
        const button = target.closest?.("[data-method]");
        if (button) ask({method: button.dataset.method});
        const chip = target.closest?.("#classes button");
        if (chip) ask({label: chip.querySelector("dt").textContent.trim()});
    });

    function chooseClass(word, {labels, top}, done) {
        const dialog = Object.assign(document.createElement("dialog"),
            {id: "words", ariaLabel: word === "target" ? say("Class to explain") : say("Class to compare with")});
        dialog.innerHTML = '<input type="text" role="combobox" aria-expanded="true" aria-controls="words-list" '
            + 'aria-autocomplete="list" autocomplete="off" spellcheck="false">'
            + '<ul id="words-list" role="listbox"></ul>';
        const [field, list] = [dialog.querySelector("input"), dialog.querySelector("ul")];
        field.ariaLabel = dialog.ariaLabel;
        field.placeholder = say("Type a class");
        const chance = new Map(top);
        const order = [...top.map(([index]) => index), ...labels.keys()];
        const all = word === "contrast" ? [-1, ...new Set(order)] : [...new Set(order)];
        let at = 0;
        const mark = (to) => {
            const rows = [...list.children];
            at = Math.max(0, Math.min(to, rows.length - 1));
            rows.forEach((row, index) => row.ariaSelected = String(index === at));
            field.setAttribute("aria-activedescendant", rows[at]?.id ?? "");
            rows[at]?.scrollIntoView({block: "nearest"});
        };
        const close = (row) => {
            dialog.close();
            if (row) done(Number(row.dataset.index));
        };
        const fill = () => {
            const typed = field.value.trim().toLowerCase();
            const name = (index) => index < 0 ? say("no other class") : labels[index];
            const found = all.filter((index) => name(index).toLowerCase().includes(typed));
            // Whoever types "cat" means a class that is called so, or begins so, before one that holds it somewhere.
            const rank = (index) => name(index).toLowerCase().startsWith(typed) ? 0 : 1;
            if (typed) found.sort((a, b) => rank(a) - rank(b));
            list.replaceChildren(...found.slice(0, 200).map((index) => {
                const row = Object.assign(document.createElement("li"), {id: `words-${index}`, role: "option"});
                row.dataset.index = index;
                row.append(name(index));
                if (chance.has(index)) {
                    const share = `${(100 * chance.get(index)).toFixed(1)} %`;
                    row.append(Object.assign(document.createElement("em"), {textContent: share}));
                }
                return row;
            }));
            mark(0);
        };
        field.addEventListener("input", fill);
        dialog.addEventListener("keydown", (event) => {
            const moves = {ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + 8, PageUp: at - 8};
            if (event.key in moves) mark(moves[event.key]);
            else if (event.key === "Enter") close(list.children[at]);
            else return;
            event.preventDefault();
        });
        dialog.addEventListener("click", ({target}) => {
            if (target === dialog) close(null);
            else if (target.closest("li")) close(target.closest("li"));
        });
        dialog.addEventListener("close", () => {
            dialog.remove();
            find(`.word[data-word=${word}]`)?.focus();
        });
        document.body.append(dialog);
        fill();
        dialog.showModal();
        field.focus();
    }

    // The address holds what is shown. It is read where the page is opened, and where a visitor goes back; the slider
    // moves in the browser alone, and so does its part of the address.
    let travelling = location.search.length > 1;
    const go = () => ask({address: location.search});
    addEventListener("popstate", () => { travelling = true; go(); });

    // Go to an address of the page, as a link to it does.
    function visit(search) {
        history.pushState(null, "", location.pathname + search);
        travelling = true;
        go();
        window.convlensPanels.visit(new URLSearchParams(search).get("panel"));
    }

    function travel(told) {
        const asked = new URLSearchParams(told);
        const ours = new URLSearchParams(location.search);
        for (const [name, value] of ours) if (!asked.has(name) && (name.startsWith("__") || name === "panel")) asked.set(name, value);
        const next = `${location.pathname}?${asked}`;
        if (travelling) history.replaceState(null, "", next);
        else if (next !== location.pathname + location.search) history.pushState(null, "", next);
        travelling = false;
        speak();
        return told;
    }

    function stay(line) {
        const name = /^(.*?) · /.exec(line ?? "")?.[1];
        const ours = new URLSearchParams(location.search);
        if (!name || !ours.has("layer") || ours.get("layer") === name) return;
        ours.set("layer", name);
        history.replaceState(null, "", `${location.pathname}?${ours}`);
    }

    // The photo over the map, as far as a handle is drawn: it lies in the browser already. The square that a network
    // sees has another shape, and no photo over it.
    addEventListener("input", ({target}) => {
        if (!target.closest?.("#wipe")) return;
        const [stage, photo] = [find("#picture"), find("#photo img")];
        let before = find("#before");
        if (!before) stage.append(before = Object.assign(document.createElement("img"), {id: "before", alt: ""}));
        if (before.src !== photo.src) before.src = photo.src;
        stage.style.setProperty("--wipe", `${target.value}%`);
        before.hidden = !sameShape(find("#picture .image-frame img, #picture button img"), photo);
    });

    function sameShape(a, b) {
        return a && b && Math.abs(a.naturalWidth / a.naturalHeight - b.naturalWidth / b.naturalHeight) < 0.02;
    }

    addEventListener("click", async ({target}) => {
        if (!target.closest?.("#link .link")) return;
        const told = find("#link [role=status]");
        try {
            await navigator.clipboard.writeText(location.href);
            told.textContent = own() ? say("Copied. Your own photo is not in it.") : say("Copied.");
        } catch {
            told.textContent = say("Copy it from the address bar.");
        }
    });

    // Gradio's toasts have a button (close) in a button (fold), which screen readers do not enter. What closes is enough.
    new MutationObserver(() => {
        for (const head of document.querySelectorAll(".toast-header[role]")) {
            head.removeAttribute("role");
            head.removeAttribute("tabindex");
        }
    }).observe(document.body, {childList: true, subtree: true});

    window.convlensPage = {show, fresh, heading, asked, ask: (what) => ask(what), travel, visit};
})();
