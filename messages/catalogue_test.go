package messages_test

import (
	"strings"
	"testing"

	"oracle-focus-agent/messages"
)

// The names F… are the rows of the failure catalogue in docs/reliability.md.

// TestF28NamesThatLookTheSame, by case, by normal form or by letters of other scripts, are
// files of their own everywhere: at the destination, in the queue and in the ledger.
func TestF28NamesThatLookTheSame(t *testing.T) {
	naming, err := messages.NewNaming("{date}{separator}{basename}", "%Y-%m-%d", "_", false)
	if err != nil {
		t.Fatal(err)
	}
	rules := messages.Rules{Prefix: "FOCUS Reports/", MaxSize: 1 << 40, KeyPrefix: "focus/", Naming: naming}
	places := map[string]map[string]string{}
	at := func(place, id, name string) {
		if places[place] == nil {
			places[place] = map[string]string{}
		}
		if other, taken := places[place][id]; taken {
			t.Errorf("%s %q is that of %q and of %q", place, id, other, name)
		}
		places[place][id] = name
	}
	for _, base := range []string{
		"report.csv.gz", "Report.csv.gz", "REPORT.csv.gz", "r\u00e9port.csv.gz", "re\u0301port.csv.gz", "R\u00c9port.csv.gz",
		"r\u0435port.csv.gz", "re%70ort.csv.gz", "report.csv.gz.csv.gz", "=72eport.csv.gz", "\ufb01le.csv.gz", "file.csv.gz", "\u212aelvin.csv.gz", "Kelvin.csv.gz", "kelvin.csv.gz",
	} {
		for _, day := range []string{"2024/11/28/", "2024/11/29/"} {
			o := messages.Object{Name: "FOCUS Reports/" + day + base, Size: 1}
			r, err := rules.Report(o)
			if err != nil {
				t.Errorf("%q: %v", o.Name, err)
				continue
			}
			at("key", r.Key, o.Name)
			at("subject", messages.Subject("focus", messages.Live, "main", o.Name), o.Name)
			at("record", messages.RecordKey("main", r), o.Name)
			at("upload", messages.UploadKey("main", o.Name), o.Name)
			if !strings.HasSuffix(r.Key, base) {
				t.Errorf("the key of %q is %q, want its very bytes", o.Name, r.Key)
			}
		}
	}
}
