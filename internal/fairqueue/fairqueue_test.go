package fairqueue

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/matryer/is"
)

type item struct {
	user            uint32
	owner           string
	urgency, number int
	place           int32
}

func newQueue() *Queue[*item] {
	return New(Rules[*item]{
		User:   func(x *item) uint32 { return x.user },
		Owner:  func(x *item) string { return x.owner },
		Urgent: func(a, b *item) bool { return a.urgency > b.urgency },
		First:  func(a, b *item) bool { return a.number < b.number },
		Place:  func(x *item) *int32 { return &x.place },
	})
}

func TestOwnersTakeTurns(t *testing.T) {
	is := is.New(t)
	q := newQueue()
	for i := range 10_000 {
		q.Push(&item{owner: "flood", number: i, place: -1})
	}
	for range 100 {
		q.Next()
	}
	for i := range 3 {
		q.Push(&item{owner: "single", number: i, place: -1})
	}
	q.Push(&item{owner: "third", place: -1})
	var order string
	for range 8 {
		x := q.Next()
		order += fmt.Sprint(x.owner[:1], x.number, " ")
	}
	is.Equal(len(order) > 0, true)
	// the other owners have their turns soon
	is.True(order == "s0 t0 f100 s1 f101 s2 f102 f103 " || order == "t0 s0 f100 s1 f101 s2 f102 f103 ")
}

// A user who uses another owner for each item has as many turns as any other user.
func TestUsersTakeTurnsWhateverTheirOwners(t *testing.T) {
	is := is.New(t)
	q := newQueue()
	for i := range 1000 {
		q.Push(&item{user: 7, owner: fmt.Sprint("forged", i), number: i, place: -1})
	}
	for i := range 5 {
		q.Push(&item{user: 8, owner: "b", number: i, place: -1})
		q.Push(&item{user: 8, owner: "c", number: i, place: -1})
	}
	turns := map[uint32]int{}
	owners := map[string]int{}
	for range 20 {
		x := q.Next()
		turns[x.user]++
		owners[x.owner]++
		is.True(turns[8] >= turns[7]-1) // users take turns
	}
	is.Equal(turns[8], 10)
	is.Equal(owners["b"], 5) // both owners of user b have had turns
	is.Equal(q.Len(), 990)
}

// Each item of a mailing has another owner. Items that wait go on while new ones keep coming, in order of arrival.
func TestNewOwnersWithoutEndHoldNoItemUp(t *testing.T) {
	is := is.New(t)
	q := newQueue()
	for i := range 3 {
		q.Push(&item{owner: "old", number: i, place: -1})
	}
	for i := range 10 {
		q.Push(&item{owner: fmt.Sprint("waiting", i), number: i, place: -1})
	}
	var old, waiting []int
	for i := range 40 {
		q.Push(&item{owner: fmt.Sprint("new", i), place: -1})
		switch x := q.Next(); x.owner[:3] {
		case "old":
			old = append(old, x.number)
		case "wai":
			waiting = append(waiting, x.number)
		}
	}
	is.Equal(old, []int{0, 1, 2})
	is.Equal(waiting, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
}

func TestUrgentItemsGoFirstWhoeverOwnsThem(t *testing.T) {
	is := is.New(t)
	q := newQueue()
	for i := range 5 {
		q.Push(&item{owner: "a", number: i, place: -1})
		q.Push(&item{owner: "b", number: i, urgency: i, place: -1})
	}
	var urgencies []int
	for range 6 {
		urgencies = append(urgencies, q.Next().urgency)
	}
	is.Equal(urgencies, []int{4, 3, 2, 1, 0, 0})
}

func TestNothingIsLostOrComesTwice(t *testing.T) {
	is := is.New(t)
	rng := rand.New(rand.NewPCG(3, 4))
	q, in := newQueue(), map[*item]bool{}
	for i := range 20_000 {
		switch n := rng.IntN(10); {
		case n < 5 || len(in) == 0:
			x := &item{user: rng.Uint32N(3), owner: fmt.Sprint(rng.IntN(5)), urgency: rng.IntN(3), number: i, place: -1}
			q.Push(x)
			in[x] = true
		case n < 8:
			x := q.Next()
			is.True(in[x]) // each item was pushed
			delete(in, x)
			for y := range in {
				is.True(y.urgency <= x.urgency) // no item behind it is more urgent
				break
			}
		default:
			for x := range in {
				q.Remove(x)
				q.Remove(x)
				delete(in, x)
				break
			}
		}
		is.Equal(q.Len(), len(in))
		if i%1000 > 0 {
			continue
		}
		all := maps.Clone(in)
		for x := range q.All() {
			is.True(all[x])
			delete(all, x)
		}
		is.Equal(len(all), 0)
		for range q.All() {
			break // the rest is left out
		}
	}
}
