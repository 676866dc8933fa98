package web

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
)

// An asset is a file that pages refer to.
type asset struct {
	kind string // Content-Type
	body []byte
}

// loadAssets reads what is embedded, and makes a version of it all.
func loadAssets() (all map[string]asset, version string) {
	all = map[string]asset{}
	sum := sha256.New()
	names, err := fs.Glob(pageFiles, "assets/*")
	if err != nil {
		panic(err) // unreachable: the pattern stands above
	}
	for _, name := range names {
		body, err := pageFiles.ReadFile(name)
		if err != nil {
			panic(err) // unreachable: the file is a part of the program
		}
		sum.Write(body)
		all[path.Base(name)] = asset{mime.TypeByExtension(path.Ext(name)), body}
	}
	return all, hex.EncodeToString(sum.Sum(nil))[:8]
}

// asset serves one. Where the address has its version, it is kept for good.
func (p *page) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := p.assets[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", a.kind)
	if r.URL.Query().Get("v") == p.version {
		w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	send(w, r, http.StatusOK, a.body)
}
