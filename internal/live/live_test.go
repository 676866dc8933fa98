package live_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/live"
)

func steps(ran *[]string) []live.Step {
	step := func(name, writes string) live.Step {
		return live.Step{Name: name, About: "about " + name, Writes: writes,
			Questions: []live.Question{live.Must(name+".a", "A?", "yes a", "no a"), live.Ask(name+".b", "B?", "yes b", "no b")},
			Run: func(_ context.Context, n *live.Notes) {
				*ran = append(*ran, name)
				n.Answer(name+".a", live.No, "PUT: 403")
			},
		}
	}
	return []live.Step{step("reads", ""), step("writes", "an object")}
}

func TestAStepThatWritesNeedsConsent(t *testing.T) {
	for _, allow := range []bool{true, false} {
		var ran, asked []string
		results, err := live.Run(t.Context(), steps(&ran), func(_ context.Context, s live.Step) (bool, error) {
			asked = append(asked, s.Name)
			return allow, nil
		}, nil)
		if err != nil || len(results) != 2 || results[1].Asked != allow {
			t.Fatalf("%+v, %v", results, err)
		}
		if strings.Join(asked, " ") != "writes" || (len(ran) == 2) != allow {
			t.Errorf("allowed %t: asked about %v, ran %v", allow, asked, ran)
		}
		r := live.Report{Steps: results}
		ids, right := r.Lacks()
		if lacks := strings.Join(ids, " "); right || lacks != map[bool]string{true: "reads.a writes.a", false: "reads.a"}[allow] {
			t.Errorf("lacks %q", lacks)
		}
		if b := results[1].Answers[1]; b.ID != "writes.b" || b.Verdict != live.Unknown || b.Evidence == "" || b.Means == "" {
			t.Errorf("a question without an answer: %+v", b)
		}
	}
}

func TestAMissingRightIsToldFromAnotherLack(t *testing.T) {
	for _, right := range []bool{true, false} {
		q := live.Must("a", "A?", "", "")
		if right {
			q = live.Right("a", "A?", "", "")
		}
		for verdict, lacks := range map[live.Verdict]bool{live.No: true, live.Yes: false, live.Unknown: false} {
			s := live.Step{Questions: []live.Question{q}, Run: func(_ context.Context, n *live.Notes) { n.Answer("a", verdict, "x") }}
			results, err := live.Run(t.Context(), []live.Step{s}, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if ids, missing := (live.Report{Steps: results}).Lacks(); len(ids) > 0 != lacks || missing != (lacks && right) {
				t.Errorf("right %t, %s: %v, %t", right, verdict, ids, missing)
			}
		}
	}
}

func TestWithoutAWayToAskNothingIsWritten(t *testing.T) {
	var ran []string
	gone := errors.New("the terminal is gone")
	results, err := live.Run(t.Context(), steps(&ran), func(context.Context, live.Step) (bool, error) { return true, gone }, nil)
	if !errors.Is(err, gone) || len(results) != 1 || len(ran) != 1 {
		t.Errorf("%v, %d results, ran %v", err, len(results), ran)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if results, err := live.Run(ctx, steps(&ran), nil, nil); !errors.Is(err, context.Canceled) || len(results) != 1 {
		t.Errorf("after its end: %v, %d results", err, len(results))
	}
}

func TestExchangesAreEvidenceWithoutNames(t *testing.T) {
	h := http.Header{}
	h.Set("etag", "secret")
	for _, c := range []struct {
		e                live.Exchange
		text             string
		allowed, refused live.Verdict
	}{
		{live.Exchange{Call: "PUT", Status: 200, Header: h}, "PUT: 200, with etag", live.Yes, live.No},
		{live.Exchange{Call: "PUT", Status: 400, Code: "BadDigest"}, "PUT: 400 BadDigest, with no etag", live.Unknown, live.Yes},
		{live.Exchange{Call: "PUT", Status: 500, Code: "BadDigest"}, "PUT: 500 BadDigest, with no etag", live.Unknown, live.Yes},
		{live.Exchange{Call: "PUT", Status: 403, Code: "no such bucket: mine"}, "PUT: 403, with no etag", live.No, live.Unknown},
		{live.Exchange{Call: "PUT", Status: 503}, "PUT: 503, with no etag", live.Unknown, live.Unknown},
		{live.Exchange{Call: "PUT", Class: "connection"}, "PUT: no answer (connection)", live.Unknown, live.Unknown},
	} {
		if text := c.e.With("etag"); text != c.text || c.e.Allowed() != c.allowed || c.e.Refused() != c.refused {
			t.Errorf("%q, allowed %s, refused %s, want %+v", text, c.e.Allowed(), c.e.Refused(), c)
		}
	}
}

// TestTheSecondLock: evidence that holds a name after all does not show it.
func TestTheSecondLock(t *testing.T) {
	s := live.Step{Questions: []live.Question{live.Ask("a", "A?", "", "")}, Run: func(_ context.Context, n *live.Notes) {
		n.Answer("a", live.Yes, "ocid1.tenancy.oc1..aaaa has umbrella-bucket\nand abc")
		n.Wrote("umbrella-bucket/x", live.LeftBehind, "403 of ocid1.user.oc1..bbbb")
		n.Wrote("umbrella-bucket/x", live.LeftBehind, "403 of ocid1.user.oc1..bbbb")
	}}
	results, err := live.Run(t.Context(), []live.Step{s}, nil, []string{"umbrella-bucket", "abc", ""})
	if err != nil {
		t.Fatal(err)
	}
	r := results[0]
	if r.Answers[0].Evidence != "<…> has <…> and abc" || len(r.Wrote) != 1 || r.Wrote[0] != (live.Written{Name: "<…>/x", Fate: live.LeftBehind, Why: "403 of <…>"}) {
		t.Errorf("%+v", r)
	}
}

func TestBothFormsSayTheSame(t *testing.T) {
	var ran []string
	results, err := live.Run(t.Context(), steps(&ran), func(context.Context, live.Step) (bool, error) { return false, nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := live.Report{Schema: 1, Version: "1.2.3", At: time.Unix(0, 0), Source: "s", Destination: "d", Steps: results}
	var text, raw bytes.Buffer
	if err := errors.Join(r.WriteText(&text), r.WriteJSON(&raw)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1.2.3", "1970-01-01T00:00:00Z", "NO       A?  [reads.a]", "PUT: 403", "so: no a", "2 questions, not asked: no consent", "ended before its last step", "cannot work with: reads.a"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, text.String())
		}
	}
	var back live.Report
	if err := json.Unmarshal(raw.Bytes(), &back); err != nil || len(back.Steps) != 2 || back.Steps[0].Answers[0] != results[0].Answers[0] {
		t.Errorf("%v: %s", err, raw.String())
	}
}
