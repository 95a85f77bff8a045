package queue

// output collects what the queue wants from its owner.
type output struct {
	acts     []Act
	events   []Event
	underWay int // acts that are not answered, but for Notify

	taken     []Act   // memory of the last taken acts
	published []Event // memory of the last taken events
}

// TakeActs returns the requested acts in order. The engine answers each act by one call of Acted, except for kinds with
// another rule. The slice is valid until the next call.
func (o *output) TakeActs() []Act {
	acts := o.acts
	o.acts, o.taken = reuse(o.taken), acts
	return acts
}

// TakeEvents returns the events since the last call, in order. The slice is good until the next call.
func (o *output) TakeEvents() []Event {
	events := o.events
	o.events, o.published = reuse(o.published), events
	return events
}

// reuse returns the memory of a finished slice for another slice.
func reuse[T any](s []T) []T {
	if cap(s) > maxReuse {
		return nil
	}
	clear(s)
	return s[:0]
}

// maxReuse is the number of acts or events up to which their memory is kept.
const maxReuse = 1024
