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
	cmd.AddCommand(&cobra.Command{
		Use: "test", Short: "Send a test message by every channel of alerts (exit 1: one was not taken)", Args: cobra.NoArgs,
		Long: `Send a message that is marked as a test by every channel of alerts that is
configured (webhook, e-mail, Slack, Teams), print what was answered and end with 0 or 1.
The heartbeat is not pinged: that would report a scan that was not made.`,
		Example: "  oracle-focus-agent alerts test --config config.yaml",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.alertsTest(cmd.Context()) },
	})
	return cmd
}

func (a *app) alertsTest(ctx context.Context) error {
	cfg, _, err := a.load()
	if err != nil {
		return err
	}
	if cfg.Alerts.HeartbeatURL.IsSet() {
		a.line("-", "heartbeat", "not pinged by a test, which would report a scan that was not made; each complete scan of run or scanner pings it")
	}
	if !cfg.Alerts.Tells() {
		return &coded{exitConfig, errors.New("there is nobody to tell; set alerts.webhook_url, slack_url, teams_url or alerts.email, such as by FOCUS_ALERTS_WEBHOOK_URL, or by a file that holds it and that FOCUS_ALERTS_WEBHOOK_URL_FILE names")}
	}
	n, err := newNotifier(cfg, "test", nil, quietLog())
	if err != nil {
		return err
	}
	defer n.Close()
	code := exitOK
	for _, k := range n.Channels() {
		answer, err := n.Test(ctx, k)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			a.line("FAIL", string(k), err.Error())
			code = exitError
		default:
			a.line("ok", string(k), strings.TrimSpace(fmt.Sprintf("%s answered %d %s", answer.Host, answer.Status, answer.Text)))
		}
	}
	return quietly(code)
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
