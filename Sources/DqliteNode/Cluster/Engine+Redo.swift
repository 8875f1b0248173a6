import DqliteEngine
import DqliteLog
import DqliteRaft

extension Engine {
    /// Applies what the log has, from its beginning through an entry that is committed: files may lack it. Reads the disk.
    func redo(_ log: Log, through last: LogIndex) throws {
        var index = log.firstIndex
        while index <= last {
            for entry in try log.entries(in: index...last, maximumSize: 4 << 20) {
                try self.apply(entry)
                index = entry.index.next
            }
        }
        // Though the log has nothing of it any more: copies of the databases begin there.
        self.passed(last)
    }
}
