package cli

import (
	"errors"
	"iter"
	"testing"
	"time"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/messages"
)

func TestUploadsThatNoNoteNamesAreCounted(t *testing.T) {
	now := time.Now()
	listed := func(err error, all ...s3.Unfinished) iter.Seq2[s3.Unfinished, error] {
		return func(yield func(s3.Unfinished, error) bool) {
			for _, u := range all {
				if !yield(u, nil) {
					return
				}
			}
			if err != nil {
				yield(s3.Unfinished{}, err)
			}
		}
	}
	old := now.Add(-25 * time.Hour)
	all := []s3.Unfinished{{ID: "noted", Begun: old}, {ID: "abandoned", Begun: old}, {ID: "young", Begun: now.Add(-23 * time.Hour)}, {ID: "whose", Begun: old}}
	notes := []nats.OpenUpload{{Upload: messages.Upload{ID: "noted", Abandoned: []string{"abandoned"}}}}
	if n, err := countUnnoted(listed(nil, all...), notes, now); n != 1 || err != nil {
		t.Errorf("%d, %v, want 1", n, err)
	}
	if n, err := countUnnoted(listed(errors.New("x"), all...), notes, now); n != 0 || err == nil {
		t.Errorf("%d, %v of a listing that fails", n, err)
	}
}
