package copier

import (
	"context"
	"iter"
	"sync"
	"time"
)

const (
	// mostElders is how many keys one request for a listing brings.
	mostElders = 1000
	// eldersLife is how long what it brought is believed.
	eldersLife = time.Hour
)

// elders tell which keys stood at the destination before this copier began: files that an
// earlier ledger, which is lost, knew of. Only they are worth a HEAD each; where the path
// was empty, as at the first start of all, none is. They are asked for once, by the first
// file that is older than the ledger, in one request.
//
// What comes later is not among them, and need not be: who puts it is recorded, or has
// its message delivered again. A key that is missing here for any other reason costs one
// copy of the same bytes under the same key.
type elders struct {
	mu    sync.Mutex // who comes while another one asks waits for the answer
	asked stamp
	keys  map[string]bool // nil: not known, so that each file may be one
}

// stand reports whether there may be an object under the key.
func (e *elders) stand(ctx context.Context, prefix, key string, keys func(context.Context, string) iter.Seq2[string, error]) bool {
	if keys == nil {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.asked.within(eldersLife) {
		if e.keys = few(keys(ctx, prefix)); ctx.Err() == nil {
			e.asked.set()
		}
	}
	return e.keys == nil || e.keys[key]
}

// askAhead has the keys listed, where that is due, while the file is opened.
func (c *Copier) askAhead(j *job) {
	if key := j.report.Key; c.isOld(j) && !c.elders.asked.within(eldersLife) {
		j.lease.done.Go(func() { c.mayStand(j, key) })
	}
}

// mayStand is true also where the listing panics.
func (c *Copier) mayStand(j *job, key string) bool {
	may := true
	_ = c.guard(c.Log, func() error {
		may = c.elders.stand(j.ctx, c.Rules.KeyPrefix, key, c.Keys)
		return nil
	})
	return may
}

// few are the keys of a listing; nil where it fails, or has more than come at once.
func few(listing iter.Seq2[string, error]) map[string]bool {
	all := map[string]bool{}
	for key, err := range listing {
		if all[key] = true; err != nil || len(all) == mostElders {
			return nil
		}
	}
	return all
}
