package simulator_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"oracle-focus-agent/internal/simulator"
)

func hexSHA256(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func hmacOf(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}

// chunker signs the pieces of a streaming body, as the AWS documentation
// describes it and independently of the server.
type chunker struct {
	key         []byte
	date, scope string
	previous    string
}

func newChunker(sim *simulator.Simulation, r *http.Request) *chunker {
	date := r.Header.Get("X-Amz-Date")
	c := &chunker{date: date, scope: date[:8] + "/" + sim.S3Region + "/s3/aws4_request"}
	c.key = []byte("AWS4" + sim.SecretAccessKey)
	for part := range strings.SplitSeq(c.scope, "/") {
		c.key = hmacOf(c.key, part)
	}
	_, c.previous, _ = strings.Cut(r.Header.Get("Authorization"), "Signature=")
	return c
}

func (c *chunker) chunk(data string) string {
	text := "AWS4-HMAC-SHA256-PAYLOAD\n" + c.date + "\n" + c.scope + "\n" + c.previous + "\n" + hexSHA256("") + "\n" + hexSHA256(data)
	c.previous = hex.EncodeToString(hmacOf(c.key, text))
	return fmt.Sprintf("%x;chunk-signature=%s\r\n%s", len(data), c.previous, data)
}

func (c *chunker) trailer(line string) string {
	text := "AWS4-HMAC-SHA256-TRAILER\n" + c.date + "\n" + c.scope + "\n" + c.previous + "\n" + hexSHA256(line+"\n")
	return line + "\r\nx-amz-trailer-signature:" + hex.EncodeToString(hmacOf(c.key, text)) + "\r\n"
}

// TestStreamingBodies sends each streaming encoding right, and with one thing
// wrong each; what is wrong must never become an object.
func TestStreamingBodies(t *testing.T) {
	first, second := strings.Repeat("a", 8192), "end"
	whole := first + second
	crc := "x-amz-checksum-crc32c:" + crc32cOf(whole)
	const signed, signedTrailer, unsigned = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	plain := fmt.Sprintf("%x\r\n%s\r\n%x\r\n%s\r\n0\r\n", len(first), first, len(second), second)
	for _, test := range []struct {
		name, payload, code string
		body                func(c *chunker) string
	}{
		{"signed", signed, "", func(c *chunker) string {
			return c.chunk(first) + "\r\n" + c.chunk(second) + "\r\n" + c.chunk("") + "\r\n"
		}},
		{"signed, data changed", signed, "SignatureDoesNotMatch", func(c *chunker) string {
			return strings.Replace(c.chunk(first), "aaa", "aba", 1) + "\r\n" + c.chunk(second) + "\r\n" + c.chunk("") + "\r\n"
		}},
		{"signed, last chunk unsigned", signed, "SignatureDoesNotMatch", func(c *chunker) string {
			return c.chunk(first) + "\r\n" + c.chunk(second) + "\r\n0;chunk-signature=00\r\n\r\n"
		}},
		{"signed, small chunk first", signed, "InvalidChunkSizeError", func(c *chunker) string {
			return c.chunk(second) + "\r\n" + c.chunk(first) + "\r\n" + c.chunk("") + "\r\n"
		}},
		{"signed, a chunk missing", signed, "IncompleteBody", func(c *chunker) string {
			return c.chunk(first) + "\r\n" + c.chunk("") + "\r\n"
		}},
		{"signed trailer", signedTrailer, "", func(c *chunker) string {
			return c.chunk(first) + "\r\n" + c.chunk(second) + "\r\n" + c.chunk("") + c.trailer(crc) + "\r\n"
		}},
		{"signed trailer changed", signedTrailer, "SignatureDoesNotMatch", func(c *chunker) string {
			return c.chunk(first) + "\r\n" + c.chunk(second) + "\r\n" + c.chunk("") +
				strings.Replace(c.trailer(crc), crc32cOf(whole), crc32cOf("x"), 1) + "\r\n"
		}},
		{"unsigned trailer", unsigned, "", func(*chunker) string { return plain + crc + "\r\n\r\n" }},
		{"unsigned trailer wrong", unsigned, "BadDigest", func(*chunker) string {
			return plain + "x-amz-checksum-crc32c:" + crc32cOf("x") + "\r\n\r\n"
		}},
		{"unsigned trailer absent", unsigned, "MalformedTrailerError", func(*chunker) string { return plain + "\r\n" }},
		{"unsigned, cut short", unsigned, "IncompleteBody", func(*chunker) string { return plain[:len(plain)-8] }},
		{"unsigned, more than declared", unsigned, "IncompleteBody", func(*chunker) string { return "1\r\nx\r\n" + plain + crc + "\r\n\r\n" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			sim := start(t, simulator.Options{})
			r, _ := http.NewRequest(http.MethodPut, sim.S3URL+"/"+sim.S3Bucket+"/"+key, nil)
			r.Header.Set("x-amz-decoded-content-length", fmt.Sprint(len(whole)))
			r.Header.Set("Content-Encoding", "aws-chunked")
			if test.payload != signed {
				r.Header.Set("x-amz-trailer", "x-amz-checksum-crc32c")
			}
			sign(t, sim, r, test.payload)
			body := test.body(newChunker(sim, r))
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
			response, err := transport(t).RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			answer := read(t, response.Body)
			if test.code != "" {
				if response.StatusCode < 400 || !strings.Contains(answer, "<Code>"+test.code+"</Code>") {
					t.Errorf("answer = %d %s, want %s", response.StatusCode, answer, test.code)
				}
				wantNothing(t, sim)
				return
			}
			if response.StatusCode != 200 || sim.S3.History()[0].CRC32C != crc32cOf(whole) {
				t.Errorf("answer = %d %s", response.StatusCode, answer)
			}
		})
	}
}
