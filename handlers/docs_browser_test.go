package handlers_test

import (
	"context"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/acitap/acitap/handlers"
)

// The page of the API shows every call and tries one, under the policy of the
// service and with nothing from elsewhere.
func TestDocsInBrowser(t *testing.T) {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Fatal("the test of the page needs a browser, and none is installed: apt-get install chromium")
	}
	server := httptest.NewServer(handlers.New(handlers.Options{Version: "v1.2.3"}))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	allocator, stop := chromedp.NewExecAllocator(context.Background(), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(60*time.Second))
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	ctx, end := context.WithTimeout(ctx, 90*time.Second)
	t.Cleanup(end)
	var mu sync.Mutex
	var complaints []string
	err := chromedp.Listen(ctx, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			complaints = append(complaints, ev.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			complaints = append(complaints, ev.Entry.Text+" "+ev.Entry.URL)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(server.URL+"/docs#alive"), chromedp.WaitVisible("#alive .try-row button.primary"),
		chromedp.Click("#alive .try-row button.primary"), chromedp.WaitVisible("#alive [aria-live] pre")); err != nil {
		t.Fatal(err)
	}
	says, err := chromedp.Run(ctx, chromedp.Text("#alive [aria-live]"))
	if err != nil {
		t.Fatal(err)
	}
	cards, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.querySelectorAll("details.call").forEach((d) => { d.open = true; }), document.querySelectorAll("details.call").length`))
	if err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.WaitVisible("#createWebhook .try-row")); err != nil { // all cards are drawn
		t.Fatal(err)
	}
	foreign, err := chromedp.Run(ctx, chromedp.Evaluate[string](`performance.getEntriesByType("resource").map((e) => e.name).filter((n) => !n.startsWith(location.origin)).join()`))
	if err != nil {
		t.Fatal(err)
	}
	if cards < 40 {
		t.Errorf("the page shows %d calls, there are more", cards)
	}
	for _, word := range []string{"200", `"alive"`, `"v1.2.3"`} {
		if !strings.Contains(says, word) {
			t.Errorf("trying GET /livez shows %q, want %s in it", says, word)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(complaints) > 0 || foreign != "" {
		t.Errorf("the browser complains %q, and loaded from elsewhere %q", complaints, foreign)
	}
}
