package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/state"
	"oracle-focus-agent/messages"
)

// Held is what NATS holds, as far as versions tell it apart.
type held struct {
	Server string            `json:"server"`
	Assets []nats.Inspection `json:"assets"`
	Remedy string            `json:"remedy,omitempty"` // of what setup refuses
	// Values counts the values of the ledger by their schema.
	Values map[int]int `json:"values"`
	// Unreadable are those that are no JSON object, or name no schema.
	Unreadable int `json:"unreadable_values,omitempty"`
}

// A comparison is what `version --check` found.
type comparison struct {
	Program versions `json:"program"`
	held
	Problems []string `json:"problems"`
}

func (a *app) checkVersions(ctx context.Context, asJSON bool) error {
	h, err := a.held(ctx)
	if err != nil {
		return err
	}
	c := comparison{Program: ownVersions(), held: h, Problems: h.problems()}
	if asJSON {
		err = a.printJSON(c)
	} else {
		err = a.printVersions(c)
	}
	switch {
	case err != nil:
		return err
	case h.Remedy != "":
		return quietly(exitConfig)
	case len(c.Problems) > 0:
		return quietly(exitError)
	}
	return nil
}

// held asks the running agent or, where none runs, opens the queue. That changes
// nothing in NATS: a queue inside the agent that was never started holds nothing.
func (a *app) held(ctx context.Context) (h held, err error) {
	cfg, naming, err := a.load()
	if err != nil {
		return h, err
	}
	if cfg.State.Dir != "" {
		if err := askQuickly(ctx, cfg, "/v1/held", struct{}{}, &h); !errors.Is(err, agent.ErrNotRunning) {
			return h, err
		}
	}
	if cfg.Embedded() {
		if _, err := os.Stat(cfg.StoreDir()); err != nil {
			return held{Server: module("github.com/nats-io/nats-server/v2"), Assets: []nats.Inspection{}, Values: map[int]int{}}, nil
		}
	}
	r := &route{cfg: cfg, naming: naming, log: quietLog()}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.lockEmbedded(); err != nil {
		return h, err
	}
	if err := r.connectQueue(ctx, "version"); err != nil {
		return h, err
	}
	return r.held(ctx)
}

func (r *route) held(ctx context.Context) (h held, err error) {
	h = held{Server: r.conn.NATS().ConnectedServerVersion(), Values: map[int]int{}}
	if h.Assets, h.Remedy, err = nats.Inspect(ctx, r.conn, r.assets); err != nil {
		return h, err
	}
	if slices.ContainsFunc(h.Assets, func(i nats.Inspection) bool {
		return i.Asset == "stream KV_"+r.assets.State.Name && i.Verdict == nats.Missing
	}) {
		return h, nil
	}
	if r.ledger == nil {
		if r.ledger, err = r.conn.Ledger(ctx, r.assets.State, r.cfg.OCI.Name); err != nil {
			return h, err
		}
	}
	unreadable, err := pages(r.statePage).each(ctx, func(l state.Line) error {
		var v struct {
			Schema int `json:"schema"`
		}
		if json.Unmarshal(l.Value, &v) != nil || v.Schema < 1 {
			h.Unreadable++
			return nil
		}
		h.Values[v.Schema]++
		return nil
	})
	h.Unreadable += len(unreadable)
	return h, err
}

// problems are what somebody has to do before this version can work with it.
func (h held) problems() []string {
	problems := []string{}
	var undone []string
	for _, i := range h.Assets {
		switch i.Verdict {
		case nats.Missing, nats.Outdated:
			undone = append(undone, i.Asset)
		case nats.Refused:
			problems = append(problems, fmt.Sprintf("%s is not what this version defines (%s); %s", i.Asset, fields(i.Differences), h.Remedy))
		}
	}
	if len(undone) > 0 {
		problems = append(problems, fmt.Sprintf("setup has not brought %s to this version; run `oracle-focus-agent setup`", strings.Join(undone, ", ")))
	}
	newer := 0
	for schema, n := range h.Values {
		if schema > messages.Schema {
			newer += n
		}
	}
	if newer > 0 {
		problems = append(problems, fmt.Sprintf("a newer version of this program wrote %d values of the ledger; this one leaves their files alone: use the newer one", newer))
	}
	return problems
}

func fields(differences []nats.Difference) string {
	var all []string
	for _, d := range differences {
		all = append(all, fmt.Sprintf("%s is %s, want %s", d.Field, d.Has, d.Wants))
	}
	return strings.Join(all, "; ")
}

func (a *app) printVersions(c comparison) error {
	w := tabwriter.NewWriter(a.env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "WHAT\tHAS\tTHIS VERSION\tVERDICT\n")
	fmt.Fprintf(w, "program\t\t%s\t\n", c.Program.Version)
	fmt.Fprintf(w, "nats-server\t%s\t%s or later\tcurrent\n", c.Server, nats.MinVersion)
	for _, i := range c.Assets {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\n", i.Asset, i.Schema, c.Program.AssetSchema, i.Verdict)
	}
	for _, schema := range slices.Sorted(maps.Keys(c.Values)) {
		verdict := nats.Current
		if schema > c.Program.Schema {
			verdict = nats.Newer
		}
		fmt.Fprintf(w, "%d values of the ledger\t%d\t%d\t%s\n", c.Values[schema], schema, c.Program.Schema, verdict)
	}
	if c.Unreadable > 0 {
		fmt.Fprintf(w, "%d values of the ledger\tnone\t%d\tunreadable; their files are looked at again\n", c.Unreadable, c.Program.Schema)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, p := range c.Problems {
		fmt.Fprintf(a.env.Stdout, "\n%s\n", p)
	}
	return nil
}
