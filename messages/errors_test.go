package messages_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"oracle-focus-agent/messages"
)

func TestClasses(t *testing.T) {
	for _, c := range []struct {
		class            messages.Class
		side, credential bool
	}{
		{messages.Connection, true, false}, {messages.Unavailable, true, false}, {messages.Throttled, true, false},
		{messages.Unauthenticated, true, true}, {messages.Forbidden, true, true}, {messages.ClockSkew, true, true}, {messages.NotFound, true, true},
		{messages.Changed, false, false}, {messages.Gone, false, false}, {messages.Length, false, false}, {messages.HashMismatch, false, false},
		{messages.Refused, false, false}, {messages.NoUpload, false, false}, {messages.Conflict, false, false}, {messages.LeaseLost, false, false},
		{messages.Queue, false, false}, {messages.Unknown, false, false}, {"later", false, false},
	} {
		if c.class.OfSide() != c.side || c.class.Credentials() != c.credential {
			t.Errorf("%s: OfSide %t, Credentials %t", c.class, c.class.OfSide(), c.class.Credentials())
		}
	}
}

func TestFault(t *testing.T) {
	inner := &messages.Fault{Class: messages.Connection, Side: messages.Source, Err: io.ErrUnexpectedEOF}
	outer := &messages.Fault{Class: messages.Length, Side: messages.Destination, Op: "put x", Err: inner}
	for _, c := range []struct {
		err   error
		class messages.Class
		side  messages.Side
		text  string
	}{
		{inner, messages.Connection, messages.Source, "unexpected EOF"},
		{outer, messages.Length, messages.Destination, "put x: unexpected EOF"},
		{fmt.Errorf("a: %w", outer), messages.Length, messages.Destination, "a: put x: unexpected EOF"},
		{errors.Join(errors.New("b"), inner), messages.Connection, messages.Source, "b\nunexpected EOF"},
		{messages.Gone, messages.Gone, "", "gone"},
		{fmt.Errorf("a: %w", messages.Conflict), messages.Conflict, "", "a: conflict"},
		{&messages.Fault{Class: messages.Forbidden, Op: "list", Remedy: "add a policy"}, messages.Forbidden, "", "list: forbidden; add a policy"},
		{&messages.Ineligible{Name: "x", Rule: "r"}, messages.Refused, "", `"x" is not copied: r`},
		{io.EOF, messages.Unknown, "", "EOF"},
		{context.Canceled, messages.Unknown, "", "context canceled"},
		{messages.ErrNewer, messages.Unknown, "", "written by a newer version; upgrade this program"},
		{nil, messages.Unknown, "", ""},
	} {
		if messages.ClassOf(c.err) != c.class || messages.SideOf(c.err) != c.side {
			t.Errorf("%v: class %s, side %q, want %s, %q", c.err, messages.ClassOf(c.err), messages.SideOf(c.err), c.class, c.side)
		}
		if c.err != nil && c.err.Error() != c.text {
			t.Errorf("Error = %q, want %q", c.err, c.text)
		}
	}
	if !errors.Is(outer, messages.Length) || !errors.Is(outer, messages.Connection) || !errors.Is(outer, io.ErrUnexpectedEOF) || errors.Is(outer, messages.Gone) {
		t.Error("a fault is not its class, or not its cause")
	}
}
