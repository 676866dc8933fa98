package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/notify"
)

func (a *app) alertsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "alerts", Short: "Try the ways by which somebody is told of failures", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }, // without it cobra takes any word for a call for help
	}
	var asJSON bool
	test := &cobra.Command{
		Use: "test", Short: "Send a test message by every channel of alerts (exit 1: one was not taken)", Args: cobra.NoArgs,
		Long: `Send a message that is marked as a test by every channel of alerts that is
configured (webhook, e-mail, Slack, Teams), print what was answered and end with 0 or 1.
The heartbeat is not pinged: that would report a scan that was not made.`,
		Example: "  oracle-focus-agent alerts test --config config.yaml",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.alertsTest(cmd.Context(), asJSON) },
	}
	test.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	cmd.AddCommand(test)
	return cmd
}

// A triedChannel is what came of a test message.
type triedChannel struct {
	Channel notify.Kind `json:"channel"`
	Host    string      `json:"host,omitempty"`
	Status  int         `json:"status,omitempty"` // of HTTP or SMTP
	Text    string      `json:"text,omitempty"`
	Error   string      `json:"error,omitempty"` // empty where it was taken
}

func (a *app) alertsTest(ctx context.Context, asJSON bool) error {
	cfg, _, err := a.load()
	if err != nil {
		return err
	}
	if cfg.Alerts.HeartbeatURL.IsSet() && !asJSON {
		a.line("-", "heartbeat", "not pinged by a test, which would report a scan that was not made; each complete scan of run or scanner pings it")
	}
	if !cfg.Alerts.Tells() {
		return &coded{exitConfig, errors.New("there is nobody to tell; set alerts.webhook_url, slack_url, teams_url or alerts.email, such as by FOCUS_ALERTS_WEBHOOK_URL, or by a file that holds it and that FOCUS_ALERTS_WEBHOOK_URL_FILE names")}
	}
	code := exitOK
	tried, err := tryAlerts(ctx, cfg, func(c triedChannel) {
		if c.Error != "" {
			code = exitError
		}
		if !asJSON {
			c.print(a)
		}
	})
	if err != nil {
		return err
	}
	if asJSON {
		if err := a.printJSON(tried); err != nil {
			return err
		}
	}
	return quietly(code)
}

// tryAlerts sends a test message by every channel, and tells of each how that went.
func tryAlerts(ctx context.Context, cfg *config.Config, told func(triedChannel)) ([]triedChannel, error) {
	n, err := newNotifier(cfg, "test", nil, quietLog())
	if err != nil {
		return nil, err
	}
	defer n.Close()
	tried := []triedChannel{}
	for _, k := range n.Channels() {
		answer, err := n.Test(ctx, k)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		c := triedChannel{k, answer.Host, answer.Status, answer.Text, errText(err)}
		tried = append(tried, c)
		told(c)
	}
	return tried, nil
}

func (c triedChannel) print(a *app) {
	if c.Error != "" {
		a.line("FAIL", string(c.Channel), c.Error)
		return
	}
	a.line("ok", string(c.Channel), strings.TrimSpace(fmt.Sprintf("%s answered %d %s", c.Host, c.Status, c.Text)))
}

// channels says in `test` who would be told. Nobody is told by it.
func (a *app) channels(cfg *config.Config) {
	var kinds []string
	for _, k := range []struct {
		kind notify.Kind
		set  bool
	}{
		{notify.Heartbeat, cfg.Alerts.HeartbeatURL.IsSet()}, {notify.Webhook, cfg.Alerts.WebhookURL.IsSet()},
		{notify.Slack, cfg.Alerts.SlackURL.IsSet()}, {notify.Teams, cfg.Alerts.TeamsURL.IsSet()},
	} {
		if k.set {
			kinds = append(kinds, string(k.kind))
		}
	}
	if e := cfg.Alerts.Email; e.Host != "" {
		to := e.To.List()
		server := e.Host
		if e.Port != 0 {
			server = net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
		}
		kinds = append(kinds, fmt.Sprintf("%s (%s, %d recipients)", notify.Email, server, len(to)))
	}
	if len(kinds) == 0 {
		a.line("-", "alerts", "nobody is told of failures; docs/alerts.md says how")
		return
	}
	text := strings.Join(kinds, ", ")
	if cfg.Alerts.DigestAt != "" {
		text += "; a digest at " + cfg.Alerts.DigestAt + " UTC"
	}
	a.line("-", "alerts", text+"; `alerts test` sends a message, this command does not")
}
