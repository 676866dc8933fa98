// Package browser_test looks at the status page with a real browser, Chromium, while the
// demo runs. Where there is none on the PATH its tests are skipped.
package browser_test

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const (
	// patience is how long the slowest machine may take for the visit, and beginning how
	// long the demo may take before it.
	patience  = 4 * time.Minute
	beginning = 10 * time.Minute
)

// A browser is Chromium at the pages of a running demo. What is wrong on any page that it
// loads is an error of the test.
type browser struct {
	t    *testing.T
	ctx  context.Context // of the tab
	base string          // address of the status page, without the last slash

	mu     sync.Mutex
	faults []string
}

// chromium is the path of a browser. Without one the test ends here.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			return found
		}
	}
	t.Skip("no chromium is on the PATH, so nobody looks at the pages; on Debian: apt-get install chromium")
	return ""
}

// newBrowser opens a tab.
func newBrowser(t *testing.T, path, base string) *browser {
	t.Helper()
	ctx, end := context.WithTimeout(t.Context(), patience)
	t.Cleanup(end)
	// No sandbox: in a container, and as root, there is none. It sees only the demo.
	ctx, end = chromedp.NewContext(ctx, chromedp.WithAllocatorOptions(chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1280, 900)))
	t.Cleanup(end)
	b := &browser{t: t, ctx: ctx, base: base}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	for _, enable := range []func() error{
		func() error { _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); return err },
		func() error { _, err := chromedp.Call(ctx, log.Enable, struct{}{}); return err },
	} {
		if err := enable(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, f := range b.faults {
			t.Error(f)
		}
	})
	return b
}

// listen notes what must not be: an error of a script, a message of the browser, a
// request to anybody but the agent.
func (b *browser) listen(event any) {
	fault := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		fault = "a script failed: " + e.ExceptionDetails.Text
	case *log.EventEntryAdded:
		refused := strings.HasSuffix(e.Entry.URL, "/actions/alerts") && strings.Contains(e.Entry.Text, "409") // there is no channel
		if (e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning) && !refused {
			fault = "the browser says: " + e.Entry.Text + " " + e.Entry.URL
		}
	case *runtime.EventConsoleAPICalled:
		fault = "a script wrote to the console"
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, b.base+"/") && !strings.HasPrefix(u, "data:") {
			fault = "a request to another host: " + u
		}
	}
	if fault != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.faults = append(b.faults, fault)
	}
}

// demoProgram builds the program. What it does is tried under the race detector elsewhere;
// here it would take most of the time.
func demoProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "oracle-focus-agent")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "oracle-focus-agent/cmd/oracle-focus-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// A demo is what `demo --serve` has said.
type demo struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (d *demo) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.Write(p)
}

// startDemo returns the address of its page, without the last slash.
func startDemo(t *testing.T) string {
	t.Helper()
	d := &demo{}
	cmd := exec.Command(demoProgram(t), "demo", "--serve", "--quiet")
	cmd.Stdout, cmd.Stderr = d, d
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		<-ended
	})
	address := regexp.MustCompile(`(?m)^Status page  (http://127\.0\.0\.1:\d+)/$`)
	for deadline := time.Now().Add(beginning); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		d.mu.Lock()
		text := d.out.String()
		d.mu.Unlock()
		if m := address.FindStringSubmatch(text); m != nil {
			return m[1]
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the demo ended (%v): %s", err, text)
		default:
		}
	}
	t.Fatal("the demo does not say where its page is")
	return ""
}

// do runs steps, and ends the test where one does not come to its end.
func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// open loads a page of the agent.
func (b *browser) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.base + path))
}

// eval is the value of an expression in the page.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%.80s: %v", expression, err)
	}
	return v
}

// until waits for an expression to hold in the page, which may load anew meanwhile.
func (b *browser) until(what, expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(patience / 4); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")")); err == nil && ok {
			return
		}
	}
	b.t.Fatalf("%s: that does not come to be; the page says: %.600s", what, eval[string](b, "document.body.innerText"))
}

// click follows a link or a button and waits for the page that it leads to.
func (b *browser) click(selector string) {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		b.t.Fatalf("click %s: %v", selector, err)
	}
}

// path is where the tab is.
func (b *browser) path() string {
	b.t.Helper()
	where, err := chromedp.Run(b.ctx, chromedp.Location())
	if err != nil {
		b.t.Fatal(err)
	}
	u, err := url.Parse(where)
	if err != nil {
		b.t.Fatal(err)
	}
	return u.RequestURI()
}
