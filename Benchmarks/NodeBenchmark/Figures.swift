import Foundation

/// Prints a line of columns, which is seen at once in a pipe, too.
func say(_ columns: String...) {
    print(columns.joined(separator: " "))
    fflush(nil)
}

/// The one in the middle.
func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

func format(_ value: Double, _ digits: Int) -> String {
    value.isFinite ? String(format: "%.\(digits)f", value) : "-"
}

extension String {
    func padded(_ width: Int) -> String { self + String(repeating: " ", count: max(0, width - self.count)) }
    func leftPadded(_ width: Int) -> String { String(repeating: " ", count: max(0, width - self.count)) + self }
}

extension Duration {
    var inSeconds: Double {
        Double(self.components.seconds) + Double(self.components.attoseconds) / 1e18
    }
}
