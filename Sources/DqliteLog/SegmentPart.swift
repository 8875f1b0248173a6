internal import DqliteProtocol
internal import DqliteRaft
internal import DqliteWire

/// A part of a segment that holds entries: from one location of the map to the next.
struct SegmentPart: Sendable {
    let segment: UInt64
    let range: Range<Int>
    /// The entries that are wanted. What lies behind the last of them may no longer count.
    let entries: ClosedRange<LogIndex>

    /// Reads the entries: as many as fit, but at least one.
    func read(_ file: any LogFile, logID: UInt64, maximumSize: Int) throws(LogError) -> [Entry] {
        let bytes: [UInt8]
        do throws(LogFileError) {
            bytes = try file.bytes(self.range)
        } catch {
            throw .failed(error)
        }
        var result: [Entry] = []
        var size = 0
        let isWhole = bytes.withUnsafeBytes { memory in
            var cursor = SegmentCursor(memory, logID: logID)
            var next = self.entries.lowerBound
            while next <= self.entries.upperBound {
                guard let found = cursor.next() else { return false }
                guard found.header.type == .entries else { continue }
                guard let entries = try? found.entries(in: next...self.entries.upperBound) else { return false }
                for entry in entries {
                    size += entry.data.count
                    if size > maximumSize, !result.isEmpty { return true }
                    result.append(entry)
                    next = entry.index.next
                }
            }
            return true
        }
        guard isWhole else {
            throw .damaged(
                file: Segment.name(self.segment), offset: self.range.lowerBound,
                reason: "entry \(self.entries.lowerBound) cannot be read from here")
        }
        return result
    }
}

extension LogMachine {
    /// Where to read entries that are no longer in memory, hence on disk.
    func part(for range: ClosedRange<LogIndex>) -> SegmentPart {
        let (location, next) = self.map.location(of: range.lowerBound)
        let segment = self.segments.first { $0.number == location.segment }!
        let end = if let next, next.segment == location.segment { next.offset } else { segment.end }
        let last = min(
            range.upperBound, self.map.lastIndex, next?.first.previous ?? range.upperBound,
            self.recent.first?.previous ?? range.upperBound)
        return SegmentPart(segment: segment.number, range: location.offset..<end, entries: range.lowerBound...last)
    }
}
