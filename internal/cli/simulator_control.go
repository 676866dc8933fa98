package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"oracle-focus-agent/internal/simulator"
)

// controlAddress is where check and add look for a simulator.
const controlAddress = "127.0.0.1:9083"

func (a *app) simulatorCheckCommand() *cobra.Command {
	var control string
	var asJSON bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "check", Short: "Compare both sides of a running simulator (exit 1: they differ)", Args: cobra.NoArgs,
		Long: `Ask a simulator that runs with --control-address whether every report is at the
destination byte for byte, nothing else is, and no upload was left open.`,
		Example: "  oracle-focus-agent simulator check --wait 2m",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.compared(cmd.Context(), control, wait)
			if err != nil {
				return err
			}
			if asJSON {
				err = a.printJSON(c)
			} else {
				err = a.printComparison(c)
			}
			if err == nil && !c.Complete() {
				err = quietly(exitError)
			}
			return err
		},
	}
	addControl(cmd, &control)
	cmd.Flags().DurationVar(&wait, "wait", 0, "wait so long for both sides to be equal")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the comparison as JSON")
	return cmd
}

func (a *app) simulatorAddCommand() *cobra.Command {
	var control string
	var o simulator.ReportOrder
	cmd := &cobra.Command{
		Use: "add", Short: "Add new reports to a running simulator", Args: cobra.NoArgs,
		Example: "  oracle-focus-agent simulator add --count 500 --size 4194304",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var names []string
			if err := askControl(cmd.Context(), http.MethodPost, control+"/v1/reports", o, &names); err != nil {
				return err
			}
			fmt.Fprintf(a.env.Stdout, "%d reports added; the next scan finds them\n", len(names))
			return nil
		},
	}
	addControl(cmd, &control)
	f := cmd.Flags()
	f.IntVar(&o.Count, "count", 1, "number of reports")
	f.Int64Var(&o.Size, "size", 0, "size of each in bytes, random data in place of a report (default: reports)")
	f.IntVar(&o.Days, "days", 1, "report days to spread them over")
	f.StringVar(&o.Day, "day", "", "last of those days, YYYY-MM-DD (default today)")
	return cmd
}

func addControl(cmd *cobra.Command, control *string) {
	cmd.Flags().StringVar(control, "control", "http://"+controlAddress, "URL of the simulator's --control-address")
}

// compared asks until both sides are equal or the time is over.
func (a *app) compared(ctx context.Context, control string, wait time.Duration) (*simulator.Comparison, error) {
	deadline := time.Now().Add(wait)
	for {
		c := new(simulator.Comparison)
		if err := askControl(ctx, http.MethodGet, control+"/v1/comparison", nil, c); err != nil {
			return nil, err
		}
		if c.Complete() || !time.Now().Before(deadline) {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func (a *app) printComparison(c *simulator.Comparison) error {
	w := tabwriter.NewWriter(a.env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "source\t%d reports, %s\n", c.SourceObjects, humanize.IBytes(uint64(c.SourceBytes)))
	fmt.Fprintf(w, "destination\t%d objects, by %d commits, %d of them with bytes that were there\n", c.DestinationObjects, c.Commits, c.Repeats())
	fmt.Fprintf(w, "equal\t%d of %d, byte for byte\n", c.Equal, c.SourceObjects)
	for _, list := range []struct {
		title string
		names []string
	}{{"missing", c.Missing}, {"different", c.Different}, {"extra", c.Extra}} {
		if len(list.names) > 0 {
			fmt.Fprintf(w, "%s\t%d, such as %s\n", list.title, len(list.names), list.names[0])
		}
	}
	fmt.Fprintf(w, "open uploads\t%d\n", len(c.OpenUploads))
	return w.Flush()
}

// askControl asks a simulator. No proxy of the environment comes between: it is
// on this host or beside it.
func askControl(ctx context.Context, method, url string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, &body)
	if err != nil {
		return &coded{exitConfig, fmt.Errorf("--control: %w", err)}
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return fmt.Errorf("%w; start the simulator with --control-address, and name it in --control", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return errors.New("the simulator refuses: " + strings.TrimSpace(string(text)))
	}
	return json.NewDecoder(resp.Body).Decode(out)
}
