package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// A hook is a courier that posts JSON, each kind in the shape that its service reads.
type hook struct {
	*target
	shape func(Message) any
}

func (h hook) deliver(ctx context.Context, m Message) (Answer, error) {
	return h.request(ctx, http.MethodPost, encode(h.shape(m)))
}

// encode leaves angle brackets and ampersands as they are: services show what they
// take for a text, and plain has replaced what would be more than one.
func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // unreachable: texts, numbers and times
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// stable is the shape of the webhook: the message itself.
func stable(m Message) any { return m }

// forSlack is what incoming webhooks of Slack take. Formatting is off, so that an
// asterisk in a name stays one; an ampersand has to be written as an entity.
func forSlack(m Message) any {
	text := strings.Join(append([]string{m.headline()}, m.lines()...), "\n")
	return map[string]any{
		"text": strings.ReplaceAll(text, "&", "&amp;"), "mrkdwn": false, "unfurl_links": false, "unfurl_media": false,
	}
}

// forTeams is what workflows of Teams take: an Adaptive Card. It is made of text
// runs, which alone are shown without Markdown, so that no error becomes a link.
func forTeams(m Message) any {
	color := "default"
	switch m.Event {
	case Failed:
		color = "attention"
	case Recovered:
		color = "good"
	case Noticed:
		color = "warning"
	}
	paragraph := func(run map[string]any) map[string]any {
		run["type"] = "TextRun"
		return map[string]any{"type": "RichTextBlock", "inlines": []any{run}}
	}
	body := []any{paragraph(map[string]any{"text": m.headline(), "weight": "bolder", "color": color})}
	for _, line := range m.lines() {
		body = append(body, paragraph(map[string]any{"text": line}))
	}
	return map[string]any{"type": "message", "attachments": []any{map[string]any{
		"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": nil,
		"content": map[string]any{
			"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
			"body": body, "fallbackText": m.headline(), "msteams": map[string]any{"width": "Full"},
		},
	}}}
}

// counted puts a number into a text that has a place for it.
func counted(text string, n int) string { return strings.Replace(text, "%d", strconv.Itoa(n), 1) }
