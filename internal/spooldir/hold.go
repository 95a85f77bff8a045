package spooldir

// StatHeld is Stat for a file in hold/.
func (d *Dir) StatHeld(name string) (ID, error) {
	if err := d.check("stat", name); err != nil {
		return ID{}, err
	}
	return lstatID(d.fs, d.in(holdDir, name))
}
