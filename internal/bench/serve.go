package main

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"oracle-focus-agent/internal/simulator"
)

// sides is how to reach source and destination, in the words of each that copies.
type sides struct {
	Environ []string // of the agent, NAME=value
	Control string   // URL of the servers' control
	CA      string   // file with the certificate of the servers; empty: they speak http

	OCIConfig, OCIURL, Namespace, OCIBucket, OCIRegion string
	KeyFile                                            string
	S3URL, S3Bucket, S3Region, AccessKeyID, SecretKey  string
}

// destination is where the agent puts the reports, and so do the others.
const destination = "simulated/0/account"

// order is what the process of the servers is started with.
type order struct {
	Workload workload
	TLS      bool
	Dir      string
}

// servers are source and destination. They run in a process of their own, so that what
// they cost is nobody's who copies.
type servers struct {
	source *simulator.Source
	key    *simulator.Key
	md5s   map[content]string // in hex
	sums   map[string]content // of the source, by the last part of the name
	oci    *simulator.OCI
	s3     atomic.Pointer[simulator.S3]
	stop   []func()
}

// content is what bytes are told apart by.
type content struct {
	size   int64
	crc32c string
}

// serve runs the servers until its standard input ends, or the context does.
func serve(ctx context.Context, text string, in io.Reader, out io.Writer) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return fmt.Errorf("read what to serve: %w", err)
	}
	debug.SetGCPercent(400) // what they spare is time for those who copy
	s, err := newServers(o.Workload)
	if err != nil {
		return err
	}
	defer s.close()
	reach, err := s.open(o)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(reach); err != nil {
		return err
	}
	end := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, in)
		end <- err
	}()
	select {
	case err := <-end:
		return err
	case <-ctx.Done():
		return nil
	}
}

func newServers(w workload) (*servers, error) {
	key, err := simulator.NewKey()
	if err != nil {
		return nil, err
	}
	s := &servers{source: simulator.NewSource(), key: key, md5s: map[content]string{}, sums: map[string]content{}}
	s.source.Add(reports(w, time.Now().UTC())...)
	s.learn()
	s.oci = simulator.NewOCI(s.source, simulator.OCIOptions{Bucket: key.Tenancy, Keys: map[string]*rsa.PublicKey{key.ID(): &key.Private.PublicKey}})
	return s, s.reset()
}

// reports are the files of a workload, of the thirty days before now. Their bytes are
// random, and exist only while they are read.
func reports(w workload, now time.Time) []simulator.Object {
	const days = 30
	first := now.Truncate(24*time.Hour).AddDate(0, 0, 1-days)
	all := make([]simulator.Object, w.Files)
	for i := range all {
		day := first.AddDate(0, 0, i*days/w.Files)
		all[i] = simulator.Object{
			Name: simulator.ReportName(day, 1_000_000_000_000+int64(i)*7, 1), Content: simulator.Random(uint64(i)+1, w.Size), Created: day,
		}
	}
	return all
}

// learn computes the sums of all contents once and on all processors, before anybody is
// measured.
func (s *servers) learn() {
	names := make(chan string)
	var mu sync.Mutex
	var work sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		work.Go(func() {
			for name := range names {
				r, _ := s.source.Report(name)
				sum, _ := base64.StdEncoding.DecodeString(r.MD5) // the simulator's own
				c := content{r.Size, r.CRC32C}
				mu.Lock()
				s.md5s[c], s.sums[path.Base(name)] = hex.EncodeToString(sum), c
				mu.Unlock()
			}
		})
	}
	for _, o := range s.source.Objects() {
		names <- o.Name
	}
	close(names)
	work.Wait()
}

// reset empties the destination.
func (s *servers) reset() error {
	s3, err := simulator.NewS3(simulator.S3Options{
		Keys: map[string]simulator.AccessKey{accessKey: {Secret: secretKey}}, Hollow: true,
		// A corrupted body has another CRC32C, and is nobody's.
		KnownMD5: func(size int64, crc32c string) string { return s.md5s[content{size, crc32c}] },
	})
	if err == nil {
		s.s3.Store(s3)
	}
	return err
}

const (
	accessKey = "AKIABENCH"
	secretKey = "secret-of-the-benchmark" // opens nothing but these servers
)

// open lets all of it listen, and writes what is needed to reach it into a directory.
func (s *servers) open(o order) (*sides, error) {
	scheme, tls, err := o.scheme()
	if err != nil {
		return nil, err
	}
	reach := &sides{
		OCIRegion: s.oci.Region, Namespace: s.oci.Namespace, OCIBucket: s.oci.Bucket,
		S3Bucket: s.s3.Load().Bucket, S3Region: s.s3.Load().Region, AccessKeyID: accessKey, SecretKey: secretKey,
	}
	if tls != nil {
		reach.CA = tls.cert
	}
	for _, side := range []struct {
		url     *string
		handler http.Handler
	}{{&reach.OCIURL, s.oci}, {&reach.S3URL, http.HandlerFunc(s.serveS3)}} {
		address, err := s.listen(side.handler, o.Workload, tls)
		if err != nil {
			return nil, err
		}
		*side.url = scheme + "://" + address
	}
	address, err := s.listen(s.control(), workload{}, nil)
	if err != nil {
		return nil, err
	}
	reach.Control = "http://" + address
	return reach, s.write(reach, o.Dir)
}

func (o order) scheme() (string, *certificate, error) {
	if !o.TLS {
		return "http", nil, nil
	}
	c, err := newCertificate(o.Dir)
	return "https", c, err
}

// write writes the OCI configuration, and what the agent's configuration is.
func (s *servers) write(reach *sides, dir string) error {
	sim := &simulator.Simulation{
		OCIURL: reach.OCIURL, S3URL: reach.S3URL, Namespace: reach.Namespace, OCIBucket: reach.OCIBucket, OCIRegion: reach.OCIRegion,
		Key: s.key, S3Bucket: reach.S3Bucket, S3Region: reach.S3Region, AccessKeyID: accessKey, SecretAccessKey: secretKey,
	}
	file, err := sim.WriteOCIConfig(filepath.Join(dir, "oci"))
	if err != nil {
		return err
	}
	reach.OCIConfig, reach.KeyFile = file, filepath.Join(filepath.Dir(file), "oci_api_key.pem")
	reach.Environ = sim.Environment(file)
	if reach.CA != "" {
		reach.Environ = append(reach.Environ, "SSL_CERT_FILE="+reach.CA)
	}
	return nil
}

func (s *servers) serveS3(w http.ResponseWriter, r *http.Request) { s.s3.Load().ServeHTTP(w, r) }

// listen serves on a free port, behind the network of the workload.
func (s *servers) listen(h http.Handler, w workload, c *certificate) (address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true) // both sides speak no other
	var done sync.WaitGroup
	done.Go(func() {
		if c != nil {
			server.ServeTLS(l, c.cert, c.key)
		} else {
			server.Serve(l)
		}
	})
	s.stop = append(s.stop, func() { server.Close(); done.Wait() })
	if w.RTT == 0 {
		return l.Addr().String(), nil
	}
	way, err := newLine(l.Addr().String(), w.RTT, w.Rate)
	if err != nil {
		return "", err
	}
	s.stop = append(s.stop, way.close)
	return way.address(), nil
}

func (s *servers) close() {
	for _, stop := range s.stop {
		stop()
	}
}

// control is how the benchmark speaks to its servers.
func (s *servers) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /reset", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.reset(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
		runtime.GC() // of the last run, not in the next one
	})
	mux.HandleFunc("GET /outcome", func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(s.outcome()) })
	mux.HandleFunc("GET /count", func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(len(s.s3.Load().Objects())) })
	return mux
}

// outcome holds the destination against the source.
type outcome struct {
	Files, Objects, Equal, Commits, OpenUploads int
	Requests                                    map[string]int
}

// outcome compares by names, sizes and CRC32C, which both sides computed over all bytes.
func (s *servers) outcome() outcome {
	s3 := s.s3.Load()
	objects := s3.Objects()
	o := outcome{Files: len(s.sums), Objects: len(objects), Commits: len(s3.History()), OpenUploads: len(s3.OpenUploads()), Requests: s3.Requests()}
	for _, object := range objects {
		if s.sums[baseOf(object.Key)] == (content{object.Size, object.CRC32C}) {
			o.Equal++
		}
	}
	return o
}

// baseOf is the last part of a report's name in a key, which may be one of the agent:
// those put a day before it.
func baseOf(key string) string {
	base := path.Base(key)
	const length = len("0001000000000000-00001.csv.gz")
	return base[max(0, len(base)-length):]
}

// fault says what makes a run void; nil: nothing.
func (o outcome) fault() error {
	if o.Equal == o.Files && o.Objects == o.Files && o.Commits == o.Files && o.OpenUploads == 0 {
		return nil
	}
	return fmt.Errorf("void: of %d files %d are at the destination byte for byte, among %d objects after %d commits, with %d uploads left open",
		o.Files, o.Equal, o.Objects, o.Commits, o.OpenUploads)
}

// A world is the process of the servers, seen from the benchmark.
type world struct {
	*sides
	files   int
	process *process
	end     io.Closer // its standard input
}

func newWorld(ctx context.Context, w workload, dir string, tls bool) (*world, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(order{w, tls, dir})
	if err != nil {
		return nil, err
	}
	p := &process{name: "servers", args: []string{self, "serve", string(text)}, dir: dir, environ: os.Environ()}
	in, out, err := p.startPiped(ctx)
	if err != nil {
		return nil, err
	}
	var reach sides
	if err := json.NewDecoder(out).Decode(&reach); err != nil {
		in.Close()
		return nil, errors.Join(fmt.Errorf("start the servers: %w", err), p.wait())
	}
	return &world{&reach, w.Files, p, in}, nil
}

func (w *world) close() error {
	w.end.Close()
	return w.process.wait()
}

// reset empties the destination.
func (w *world) reset() error {
	resp, err := http.Post(w.Control+"/reset", "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("empty the destination: %s", resp.Status)
	}
	return nil
}

func (w *world) outcome() (o outcome, err error) {
	err = w.ask("/outcome", &o)
	return o, err
}

// count is how many files are at the destination.
func (w *world) count() (n int, err error) {
	err = w.ask("/count", &n)
	return n, err
}

func (w *world) ask(path string, answer any) error {
	resp, err := http.Get(w.Control + path)
	if err != nil {
		return fmt.Errorf("ask the servers: %w", err)
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(answer)
}
