// Guided stories: a card at the foot of the window, which moves the page from one address to the next.
(() => {
    const find = (selector) => document.querySelector(selector);

    function stories(element, props) {
        element.addEventListener("click", ({target}) => {
            const button = target.closest?.("[data-story]");
            const story = button && props.stories.find(({name}) => name === button.dataset.story);
            if (story) tell(story, props.words, button);
        });
    }

    function tell(story, words, opener) {
        find("#story")?.remove();
        const card = Object.assign(document.createElement("section"), {id: "story", ariaLabel: story.title});
        card.setAttribute("role", "dialog");
        card.innerHTML = '<h3></h3><button type="button" class="leave">×</button><p aria-live="polite"></p>'
            + '<div><span></span><button type="button" class="back"></button><button type="button" class="next"></button></div>';
        const [title, leave, text, count, back, next] =
            ["h3", ".leave", "p", "span", ".back", ".next"].map((part) => card.querySelector(part));
        title.textContent = story.title;
        leave.ariaLabel = words.close;
        back.textContent = words.back;
        let at = 0;
        const close = () => {
            card.remove();
            (opener.isConnected ? opener : find(`[data-story="${story.name}"]`))?.focus();
        };
        const show = (to) => {
            at = to;
            const step = story.steps[at];
            text.textContent = step.text;
            count.textContent = `${at + 1} / ${story.steps.length}`;
            back.disabled = at === 0;
            next.textContent = at + 1 < story.steps.length ? words.next : words.end;
            window.convlensPage.visit(step.at);
        };
        back.addEventListener("click", () => at && show(at - 1));
        next.addEventListener("click", () => at + 1 < story.steps.length ? show(at + 1) : close());
        leave.addEventListener("click", close);
        card.addEventListener("keydown", (event) => {
            if (event.key === "Escape") close();
            else if (event.key === "ArrowRight" && at + 1 < story.steps.length) show(at + 1);
            else if (event.key === "ArrowLeft" && at) show(at - 1);
        });
        document.body.append(card);
        show(0);
        next.focus();
        find("#heading")?.scrollIntoView({block: "start"});
    }

    window.convlensStories = {stories};
})();
