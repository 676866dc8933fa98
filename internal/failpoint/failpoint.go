// Package failpoint names the moments at which a crash is tried, and lets the process
// die there. It is for the crash matrix alone: without the build tag failpoints a
// point is nothing, and costs nothing.
//
// With the tag, OFA_FAILPOINT=name:n[,name:n] kills this process with SIGKILL when it
// comes to a point for the n-th time, as a power cut or the kernel's killer would: no
// deferred function runs, no buffer is flushed. With n = 0 the point is only noted.
// OFA_FAILPOINT_LOG names a file that gets a line for each point that is come to.
package failpoint

// A Point is a moment in the life of a copy, a scan or a process. Its name says what
// was done last.
type Point string

// The points of a file that is sent as a multipart upload, in the order of its copy.
const (
	Fetched          Point = "copier.fetched"           // a message was lent
	Validated        Point = "copier.validated"         // it is for this copier; its record is about to be read
	RecordRead       Point = "copier.record-read"       // what the ledger has of the file is known
	Opened           Point = "copier.opened"            // the source has answered, and its body is to be read
	UploadCreated    Point = "copier.upload-created"    // there is an upload that nobody knows of
	UploadNoted      Point = "copier.upload-noted"      // its id stands in the ledger
	FirstPart        Point = "copier.first-part"        // the first part is confirmed
	SecondPartHalf   Point = "copier.second-part-half"  // half of the second part is read
	LastPart         Point = "copier.last-part"         // the last part is confirmed
	Compared         Point = "copier.compared"          // the sums agree; Complete is about to be sent
	CompleteSent     Point = "copier.complete-sent"     // the whole request is on its way, and nobody reads the answer
	CompleteAnswered Point = "copier.complete-answered" // the object is there
	Looked           Point = "copier.looked"            // HEAD has answered
	Recorded         Point = "copier.recorded"          // the copy stands in the ledger
	AckSent          Point = "copier.ack-sent"          // the ack is on its way, and nobody reads the answer
	AckConfirmed     Point = "copier.ack-confirmed"     // the message is gone
)

// The points of a file that is sent whole.
const (
	Buffered    Point = "copier.buffered"     // the sums agree; Put is about to be sent
	PutSent     Point = "copier.put-sent"     // the whole request is on its way, and nobody reads the answer
	PutAnswered Point = "copier.put-answered" // the object is there
	PutRecorded Point = "copier.put-recorded" // the copy stands in the ledger
)

// The points of an attempt that failed.
const (
	AbortSent  Point = "copier.abort-sent" // the upload is being given up, and nobody reads the answer
	HandedBack Point = "copier.handed-back"
	Buried     Point = "copier.buried" // the dead letter stands
	Terminated Point = "copier.terminated"
)

// The points of a scan.
const (
	FirstPage     Point = "scanner.first-page"      // its first page is judged
	FifthPageHalf Point = "scanner.fifth-page-half" // half of the fifth page is judged
	DayRead       Point = "scanner.day-read"        // what the ledger has of a day is known
	PublishSent   Point = "scanner.publish-sent"    // the message is on its way, and nobody reads the answer
	Published     Point = "scanner.published"       // the queue has confirmed it
	MarksBefore   Point = "scanner.marks-before"    // all is published; the marks are about to be written
	MarksSaved    Point = "scanner.marks-saved"
)

// The points of a process.
const (
	PIDLocked       Point = "start.pid-locked" // state directory and PID file are this process's
	StreamCreated   Point = "start.stream-created"
	BucketCreated   Point = "start.bucket-created"
	ConsumerCreated Point = "start.consumer-created"
	Signalled       Point = "stop.signalled" // the first SIGTERM or SIGINT was taken
	Draining        Point = "stop.draining"  // after it, one of the copies in flight is about to be settled
	Ending          Point = "stop.ending"    // all is closed; the process is about to exit
)

// Points are all of them.
func Points() []Point {
	return []Point{
		Fetched, Validated, RecordRead, Opened, UploadCreated, UploadNoted, FirstPart, SecondPartHalf,
		LastPart, Compared, CompleteSent, CompleteAnswered, Looked, Recorded, AckSent, AckConfirmed,
		Buffered, PutSent, PutAnswered, PutRecorded,
		AbortSent, HandedBack, Buried, Terminated,
		FirstPage, FifthPageHalf, DayRead, PublishSent, Published, MarksBefore, MarksSaved,
		PIDLocked, StreamCreated, BucketCreated, ConsumerCreated, Signalled, Draining, Ending,
	}
}
