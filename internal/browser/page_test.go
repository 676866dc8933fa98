package browser_test

import (
	_ "embed"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// checks is a list of what is wrong with a page.
//
//go:embed testdata/checks.js
var checks string

// TestTheStatusPage is one visit, since the demo takes longest of all.
func TestTheStatusPage(t *testing.T) {
	path := chromium(t)
	base := startDemo(t)
	b := newBrowser(t, path, base)
	b.open("/")
	b.until("the failed file is shown", `document.querySelector("#causes .cause")`)
	b.until("the calendar is read", `document.querySelector("a.d.missing") && document.querySelector("a.d.complete")`)
	file := eval[string](b, `document.querySelector("#causes .cause li a").getAttribute("href")`)
	day := eval[string](b, `document.querySelector("a.d.missing").getAttribute("href")`)
	pages := []string{
		"/", "/?window=30d", "/files?state=failed", file, day, "/activity", "/actions/scan", "/actions/retry", "/actions/discard?cause=hash-mismatch",
		"/actions/backfill", "/actions/backfill?from=" + day[6:] + "&to=" + day[6:], "/actions/verify", "/actions/pause", "/actions/resume", "/actions/report", "/actions/alerts",
	}
	for _, scene := range []struct {
		name string
		play func(*browser)
	}{
		{"Screenshots", (*browser).takePictures},
		{"EveryPageIsForEverybody", func(b *browser) { b.everyPage(pages) }},
		{"TheCalendarTellsADayOfEachKind", (*browser).calendar},
		{"TheKeyboardIsEnough", (*browser).keyboard},
		{"PauseShowsEverywhereAndResumeEndsIt", (*browser).pauseAndResume},
		{"UpdatesCanBePaused", (*browser).stillness},
		{"ATabThatNobodySeesHoldsNoConnection", (*browser).background},
		{"AFailedFileIsGivenUp", func(b *browser) { b.giveUp(file, day[6:]) }},
		{"AndRepairedByClicks", func(b *browser) { b.repair(file, day[6:]) }},
		{"ADayIsComparedAndBrought", (*browser).compareAndBring},
		{"AReportIsDownloaded", func(b *browser) { b.download(day[6:]) }},
		{"WithoutAScriptItDoesTheSame", (*browser).withoutScript},
	} {
		if !t.Run(scene.name, func(t *testing.T) { scene.play(b.in(t)) }) {
			break // what comes later would fail for the same reason, and take its time
		}
	}
}

// in is the browser for a subtest.
func (b *browser) in(t *testing.T) *browser {
	b.t = t
	return b
}

// light sets what a visitor prefers.
func (b *browser) light(scheme string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	if err != nil {
		b.t.Fatal(err)
	}
}

// everyPage holds each page against the checks, by day on a desk and by night on the
// smallest phone; the first, which has all colours, also the other way round.
func (b *browser) everyPage(paths []string) {
	type screen struct {
		width  int64
		scheme string
	}
	screens := []screen{{1280, "light"}, {320, "dark"}, {1280, "dark"}, {320, "light"}}
	for i, path := range paths {
		b.open(path)
		if i == 1 {
			screens = screens[:2]
		}
		for _, screen := range screens {
			b.light(screen.scheme)
			b.do(chromedp.EmulateViewport(screen.width, 800))
			for _, problem := range eval[[]string](b, checks) {
				b.t.Errorf("%s, %d wide, %s: %s", path, screen.width, screen.scheme, problem)
			}
		}
	}
	b.do(chromedp.EmulateViewport(1280, 900))
}

// takePictures stores the overview for the documentation, where BROWSER_PICTURES says.
func (b *browser) takePictures() {
	dir := os.Getenv("BROWSER_PICTURES")
	if dir == "" {
		b.t.Skip("BROWSER_PICTURES names no directory")
	}
	b.until("there is progress to see", `document.querySelector("#moving progress").value >= 30`)
	for _, p := range []struct {
		name, scheme  string
		width, height int64
	}{{"page-light.png", "light", 1040, 1000}, {"page-dark.png", "dark", 1040, 1000}, {"page-phone.png", "light", 320, 900}} {
		b.light(p.scheme)
		b.do(chromedp.EmulateViewport(p.width, p.height))
		picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, p.name), picture, 0o644); err != nil {
			b.t.Fatal(err)
		}
	}
	b.do(chromedp.EmulateViewport(1280, 900))
}

func (b *browser) calendar() {
	b.open("/")
	for _, kind := range []string{"complete", "late", "missing", "partial"} {
		if eval[int](b, `document.querySelectorAll("#calendar a.d.`+kind+`").length`) == 0 {
			b.t.Errorf("the demo has no day that is %s", kind)
		}
	}
	if !eval[bool](b, `[...document.querySelectorAll(".month p")].some((p) => /^all (28|29|30|31) days complete$/.test(p.textContent))`) {
		b.t.Errorf("no month is complete: %s", eval[string](b, `document.getElementById("calendar").innerText`))
	}
	b.click("#calendar a.d.missing")
	b.until("the page of the missing day", `document.querySelector("h1").textContent.startsWith("Report day") && document.querySelector(".pill.bad").textContent === "missing"`)
}

// keyboard goes through the page without a mouse.
func (b *browser) keyboard() {
	b.open("/")
	b.do(chromedp.KeyEvent("\t"))
	if got := eval[string](b, "document.activeElement.textContent"); got != "Skip to the content" {
		b.t.Errorf("the first stop is %q", got)
	}
	stops := eval[int](b, `[...document.querySelectorAll("#calendar a.d")].filter((d) => d.tabIndex === 0).length`)
	if stops != 1 {
		b.t.Errorf("the calendar has %d stops of the tab key", stops)
	}
	eval[bool](b, `document.querySelector("#calendar a.d.today").focus() || true`)
	today := eval[string](b, "document.activeElement.href")
	b.do(chromedp.KeyEvent("\u0302")) // ArrowLeft
	if got := eval[string](b, "document.activeElement.href"); got >= today || !strings.Contains(got, "/days/") {
		b.t.Errorf("left of %s is %s", today, got)
	}
	if hint := eval[string](b, `document.getElementById("hint").textContent`); !strings.Contains(hint, "complete") && !strings.Contains(hint, "partial") && !strings.Contains(hint, "filling") {
		b.t.Errorf("the day in focus is told as %q", hint)
	}
}

// pauseAndResume orders both on the page, while another part of it has the focus.
func (b *browser) pauseAndResume() {
	b.open("/actions/pause")
	if b.do(chromedp.Click(chromedp.CSS("form.order button"))); b.path() != "/actions/pause" {
		b.t.Error("a pause without a reason was sent")
	}
	b.do(chromedp.SendKeys(chromedp.CSS("input[name=reason]"), "the bucket moves"))
	b.click("form.order button")
	b.until("the pause is on record", `document.getElementById("job") && document.getElementById("trail").textContent.includes("the bucket moves")`)
	b.open("/")
	b.until("the verdict or the actions tell of the pause", `document.querySelector("#actions a[href='/actions/resume']")`)
	b.click("#actions a[href='/actions/resume']")
	b.click("form.order button")
	b.open("/")
	b.until("it is resumed", `document.querySelector("#actions a[href='/actions/pause']")`)
}

// asked is how often the page asks for news when it comes back into sight a minute later.
const asked = `(() => {
	let n = 0;
	const [ask, now] = [window.fetch, Date.now];
	window.fetch = (...a) => { n++; return ask(...a); };
	Date.now = () => now() + 60000;
	document.dispatchEvent(new Event("visibilitychange"));
	[window.fetch, Date.now] = [ask, now];
	return n;
})()`

// stillness: what a visitor has paused stays as it is, and comes up to date afterwards,
// with the focus where it was.
func (b *browser) stillness() {
	b.open("/")
	b.until("the page is live", `document.getElementById("live-text").textContent === "Live"`)
	b.do(chromedp.Click(chromedp.CSS("#live-button")))
	if got := eval[string](b, `document.getElementById("live-text").textContent`); got != "Paused" {
		b.t.Errorf("it says %q", got)
	}
	pause := `fetch("/api/v1/pause", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({reason: "a try"})}).then((r) => r.status)`
	if status, err := chromedp.Run(b.ctx, chromedp.Evaluate[int](pause, chromedp.EvalAwaitPromise)); err != nil || status >= 300 {
		b.t.Fatalf("pause: %d, %v", status, err)
	}
	eval[bool](b, `document.querySelector("#numbers a").focus() || true`)
	if n := eval[int](b, asked); n != 0 {
		b.t.Errorf("a page that is paused asked %d times for news", n)
	}
	eval[bool](b, `document.getElementById("live-button").click() || true`)
	b.until("the page is up to date again", `document.querySelector("#actions a[href='/actions/resume']")`)
	if got := eval[string](b, `document.activeElement.getAttribute("href")`); got != "/files?state=waiting" {
		b.t.Errorf("the focus went to %q", got)
	}
	resume := strings.Replace(strings.Replace(pause, "/pause", "/resume", 1), "a try", "tried", 1)
	if status, err := chromedp.Run(b.ctx, chromedp.Evaluate[int](resume, chromedp.EvalAwaitPromise)); err != nil || status >= 300 {
		b.t.Fatalf("resume: %d, %v", status, err)
	}
	b.until("the page sees the end of the pause", `document.querySelector("#actions a[href='/actions/pause']")`)
	b.until("a page that is not paused asks for news", asked+" === 1")
}

// background: the events are left while nobody looks, and followed again afterwards; also
// where the agent had listeners enough.
func (b *browser) background() {
	b.open("/")
	b.until("the page follows the events", "events && events.readyState === EventSource.OPEN")
	look := func(hidden string) {
		eval[bool](b, `Object.defineProperty(document, "hidden", {value: `+hidden+`, configurable: true}) && document.dispatchEvent(new Event("visibilitychange"))`)
	}
	look("true")
	if !eval[bool](b, "events === null") {
		b.t.Error("a tab in the background keeps its connection")
	}
	look("false")
	b.until("the page follows the events again", "events && events.readyState === EventSource.OPEN")
	eval[bool](b, "events.close() || true")
	eval[bool](b, `document.dispatchEvent(new Event("visibilitychange"))`)
	b.until("the page follows the events after it was refused", "events && events.readyState === EventSource.OPEN")
}

// giveUp discards the failed file, from the overview on. Then the missing day is the worst.
func (b *browser) giveUp(file, missing string) {
	b.open("/")
	if title := eval[string](b, "document.title"); !strings.HasPrefix(title, "(1!) ") {
		b.t.Errorf("the title is %q", title)
	}
	b.verdict("Failing: 1 file was given up: the bytes differ from the declared checksum.")
	b.click(".cause a.main")
	if got := eval[string](b, `document.querySelector("form.order button").textContent`); got != "Try again 1 file" {
		b.t.Errorf("the button says %q", got)
	}
	b.open("/")
	b.click(".cause a[href^='/actions/discard']")
	if got := eval[string](b, `document.querySelector("form.order button.danger").textContent`); got != "Give up 1 file" {
		b.t.Errorf("the button says %q", got)
	}
	if b.do(chromedp.Click(chromedp.CSS("form.order button"))); !strings.HasPrefix(b.path(), "/actions/discard") {
		b.t.Error("a file was given up without a reason")
	}
	b.do(chromedp.SendKeys(chromedp.CSS("input[name=reason]"), "a file of a test"))
	b.click("form.order button")
	b.until("that is on record, with who did it", `["failed discard", "a file of a test", "somebody from 127.0.0.1 by the page"].every((s) => document.getElementById("trail").textContent.includes(s))`)
	b.open(file)
	b.until("the file is given up for good", `document.querySelector("#stand .pill").textContent === "discarded" && !document.querySelector("#stand a[href^='/actions/discard']")`)
	b.open("/")
	b.until("nothing is failed", `document.getElementById("causes").textContent.includes("No file was given up")`)
	b.verdict("Behind: 1 report day lacks files: " + missing + ".")
}

// verdict waits for a sentence.
func (b *browser) verdict(sentence string) {
	b.t.Helper()
	b.until("the verdict is "+sentence, `document.querySelector("#verdict h1").textContent === "`+sentence+`"`)
}

// repair has the file copied that was given up.
func (b *browser) repair(file, missing string) {
	b.open(file)
	b.click("#stand a.main")
	if got := eval[string](b, `document.querySelector("form.order button").textContent`); got != "Try again 1 file" {
		b.t.Errorf("the button says %q", got)
	}
	b.do(chromedp.SendKeys(chromedp.CSS("input[name=reason]"), "Oracle has mended it"))
	b.click("form.order button")
	b.until("the order is on record", `document.getElementById("trail").textContent.includes("Oracle has mended it")`)
	b.open(file)
	b.until("the file is delivered, without a new load", `document.querySelector("#stand .pill.good")`)
	b.until("its timeline tells who did it", `document.getElementById("life").textContent.includes("Oracle has mended it") || document.getElementById("life").textContent.includes("copied")`)
	b.open("/")
	b.until("nothing is failed any more", `document.getElementById("causes").textContent.includes("No file was given up") && !document.title.startsWith("(1!)")`)
	b.verdict("Behind: 1 report day lacks files: " + missing + ".")
}

func (b *browser) compareAndBring() {
	b.open("/")
	b.click("#calendar a.d.complete")
	day := strings.TrimPrefix(b.path(), "/days/")
	b.until("all files are the same on all sides", `document.querySelectorAll(".sides tbody tr").length >= 4 && document.querySelectorAll(".sides .pill:not(.good)").length === 0`)
	b.click("a[href^='/actions/verify']")
	b.click("form.order button")
	b.until("the comparison has ended well", `document.querySelector("#job .good") && /[1-9]\d* equal/.test(document.getElementById("job").textContent)`)
	b.open("/actions/backfill?from=" + day + "&to=" + day)
	if got := eval[string](b, `document.querySelector("main").innerText`); !strings.Contains(got, "Nothing of these days is left to bring") {
		b.t.Errorf("a complete day is brought again: %s", got)
	}
	b.open("/actions/backfill?all=yes&from=" + day + "&to=" + day)
	if got := eval[string](b, `document.querySelector("form[method=post] button").textContent`); got != "Bring 4 files" {
		b.t.Errorf("the button says %q", got)
	}
	b.click("form[method=post] button")
	b.until("they are queued", `document.querySelector("#job .good")`)
	b.open("/actions/scan")
	b.click("form.order button")
	b.until("the scan has ended", `document.querySelector("#job .good")`)
	b.open("/actions/alerts")
	b.click("form.order button")
	b.until("a test alert without a channel says so", `/alerts/.test(document.querySelector("main").innerText)`)
}

func (b *browser) download(day string) {
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`fetch("/report?from=`+day+`&to=`+day+`").then((r) => r.text().then((t) => r.headers.get("Content-Disposition") + "\n" + t))`, chromedp.EvalAwaitPromise))
	if err != nil || !strings.HasPrefix(text, `attachment; filename="focus-report-`+day+`.csv"`) || !strings.Contains(text, day) {
		b.t.Errorf("the report is %.300q (%v)", text, err)
	}
}

// withoutScript: a page, a day and an action, as a browser shows them that runs no script.
func (b *browser) withoutScript() {
	off := func(value bool) {
		if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: value}); err != nil {
			b.t.Fatal(err)
		}
	}
	off(true)
	b.open("/?refresh=off")
	b.click("#calendar a.d.missing")
	b.click("nav a[href='/']")
	b.click("#actions a[href='/actions/scan']")
	b.click("form.order button")
	where := b.path()
	off(false)
	if !strings.HasPrefix(where, "/activity?job=") {
		b.t.Errorf("the order led to %s", where)
	}
	b.open(where)
	b.until("the scan has ended", `document.querySelector("#job .good")`)
}
