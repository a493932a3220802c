// How the page asks: what is asked travels as the value of a component of its own. An event has data as well, but of
// several that come while one is being answered, gradio answers the last with the data of the first.
(() => {
    const MOMENT = 50; // ms until gradio knows that it has sent one, and keeps the next one back

    // A function that asks. Of several within a moment gradio would send each, and they may arrive in any order: the
    // first goes, and those that follow it are joined to one. join: (what waits or null, what comes) -> what is asked.
    function asking(props, trigger, join = (before, what) => what) {
        let waiting = null;
        let held = false;
        const send = () => {
            held = true;
            setTimeout(() => { held = false; if (waiting) send(); }, MOMENT);
            props.value = JSON.stringify(waiting);
            waiting = null;
            trigger("input");
        };
        return (what) => {
            waiting = join(waiting, what);
            if (!held) send();
        };
    }

    window.convlensAsking = {asking};
})();
