// What runs in the page beside gradio: photos that are dropped, pasted or taken with the camera, and the slider,
// which shows frames that are in the browser already. All listeners are the document's, since gradio renders, and
// renders anew, after this has run.
(() => {
    const find = (selector) => document.querySelector(selector);
    const editable = (node) => node?.closest?.("textarea, [contenteditable=true], input:not([type=file], [type=range], "
        + "[type=radio], [type=checkbox], [type=button])");

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
    const light = (on) => find("#stage")?.classList.toggle("receives", on);
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
        const dialog = Object.assign(document.createElement("dialog"), {id: "camera", ariaLabel: "Camera"});
        dialog.innerHTML = '<p role="status">Waiting for the camera …</p><video autoplay playsinline muted hidden></video>'
            + '<div><button class="take" disabled>Take the photo</button><button class="leave">Cancel</button></div>';
        const [told, video, take, leave] = ["p", "video", ".take", ".leave"].map((name) => dialog.querySelector(name));
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
            told.textContent = "The camera can't be used here: allow it in the browser, or choose a photo instead.";
            leave.textContent = "Close";
            return;
        }
        if (!dialog.isConnected) return stop(); // it was closed while the browser asked
        video.srcObject = stream;
        video.addEventListener("loadeddata", () => {
            told.textContent = "Hold still.";
            video.hidden = take.disabled = false;
            take.focus();
        });
    }

    // The slider shows frames that are in the browser already: moving it asks nothing of the server. It moves too
    // when an answer sets it, with the frames of the answer before: those lie in another folder than the picture.
    const folder = (image) => image?.path?.replace(/[^/\\]*$/, "");

    function show(layer, frames, picture, line, ranges, range) {
        const frame = frames?.length > 1 && frames[layer - 1];
        const ours = frame && folder(frame.image) === folder(picture);
        return ours ? [frame.image, frame.caption, ranges?.[layer - 1] ?? range] : [picture, line, range];
    }

    // The layer's number, as it is typed. gradio would show a number that is too large until the box is left, make 1
    // of an empty one, and go back to the number that the page opened with, whatever the model: so this comes first.
    const box = () => find("#layer input[type=number]");
    const put = (field, value) => {
        field.value = value;
        field.dispatchEvent(new Event("input", {bubbles: true}));
    };
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

    // When new frames have come: load them all, and follow the slider where it has moved meanwhile.
    function fresh(layer, frames, picture, line, ranges, range) {
        window.convlens = (frames ?? []).map(({image}) => Object.assign(new Image(), {src: image.url}));
        const frame = frames?.length > 1 && frames[layer - 1];
        const shown = frame && frame.image.path === picture?.path?.replace("-large", "");
        return frame && !shown ? [frame.image, frame.caption, ranges?.[layer - 1] ?? range] : [picture, line, range];
    }

    window.convlensPage = {show, fresh};
})();
