package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// programs are paths of what is run.
type programs struct{ self, agent, rclone, nats string }

// A contestant is a way to copy all files of a world.
type contestant struct {
	name string
	// begin makes the process, which may use a directory that is empty.
	begin func(w workload, to *sides, dir string) (*process, error)
}

const (
	theAgent      = "agent"
	rcloneBest    = "rclone, best"
	rcloneDefault = "rclone, default"
	thePipe       = "pipe"
)

func (p programs) contestants() []contestant {
	return []contestant{
		{theAgent, func(_ workload, to *sides, dir string) (*process, error) {
			return &process{name: "agent", args: []string{p.agent, "sync"}, environ: agentEnviron(to, dir), dir: dir}, nil
		}},
		{rcloneBest, func(w workload, to *sides, dir string) (*process, error) { return p.runRclone(to, dir, bestFlags(w)) }},
		{rcloneDefault, func(_ workload, to *sides, dir string) (*process, error) { return p.runRclone(to, dir, nil) }},
		{thePipe, func(_ workload, to *sides, dir string) (*process, error) {
			text, err := json.Marshal(to)
			return &process{name: "pipe", args: []string{p.self, "pipe", string(text)}, environ: environ(to, dir), dir: dir}, err
		}},
	}
}

// environ is what every process is given.
func environ(to *sides, dir string) []string {
	e := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	if to.CA != "" {
		e = append(e, "SSL_CERT_FILE="+to.CA)
	}
	return e
}

// agentEnviron is the agent at its defaults, but with as many files at once as the others
// copy, with bodies that are unsigned over http, as theirs are, and without the statistics:
// random bytes have none.
func agentEnviron(to *sides, dir string) []string {
	return append(append(environ(to, dir), to.Environ...),
		"FOCUS_STATE_DIR="+filepath.Join(dir, "state"), fmt.Sprint("FOCUS_AGENT_MAX_CONCURRENT_TRANSFERS=", atOnce),
		"FOCUS_S3_UNSIGNED_PAYLOAD=true", "FOCUS_INTEGRITY_STATISTICS=false", "FOCUS_VERIFY_INTERVAL=0")
}

// runRclone copies with rclone, in the layout that it has. Without use_unsigned_payload it
// cannot copy from one server to another over http: it would have to read each file twice.
func (p programs) runRclone(to *sides, dir string, flags []string) (*process, error) {
	text := fmt.Sprintf(`[oci]
type = oracleobjectstorage
provider = user_principal_auth
namespace = %s
region = %s
endpoint = %s
config_file = %s
config_profile = DEFAULT

[s3]
type = s3
provider = AWS
region = %s
endpoint = %s
force_path_style = true
access_key_id = %s
secret_access_key = %s
use_unsigned_payload = true
`, to.Namespace, to.OCIRegion, to.OCIURL, to.OCIConfig, to.S3Region, to.S3URL, to.AccessKeyID, to.SecretKey)
	file := filepath.Join(dir, "rclone.conf")
	args := append([]string{p.rclone, "copy", "--config", file, "oci:" + to.OCIBucket + "/FOCUS Reports", "s3:" + to.S3Bucket + "/" + destination}, flags...)
	return &process{name: "rclone", args: args, environ: environ(to, dir), dir: dir}, os.WriteFile(file, []byte(text), 0o600)
}

// bestFlags are those that let rclone copy fastest: as many files at once as the others,
// nothing looked up and nothing verified, neither before nor after, and each file in one
// request. On loopback that is faster for one large file, too, than many streams in it,
// for each of which rclone computes an MD5; where one connection is the limit, it is not.
func bestFlags(w workload) []string {
	flags := []string{
		fmt.Sprint("--transfers=", atOnce), fmt.Sprint("--checkers=", atOnce), "--no-check-dest", "--ignore-checksum", "--use-server-modtime",
		"--s3-no-check-bucket", "--s3-no-head", "--s3-disable-checksum",
	}
	if w.far() {
		return append(flags, fmt.Sprint("--multi-thread-streams=", atOnce), "--multi-thread-cutoff=1M", fmt.Sprint("--s3-upload-concurrency=", atOnce))
	}
	return append(flags, "--s3-upload-cutoff=5G", "--multi-thread-streams=0")
}

// named are all contestants, or the one of a name.
func (p programs) named(name string) ([]contestant, error) {
	all := p.contestants()
	if name == "" {
		return all, nil
	}
	for _, c := range all {
		if c.name == name {
			return []contestant{c}, nil
		}
	}
	return nil, fmt.Errorf("contestant %q: there are %q, %q, %q and %q", name, theAgent, rcloneBest, rcloneDefault, thePipe)
}
