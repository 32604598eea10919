// SPDX-License-Identifier: BSD-3-Clause

/// All its hexadecimal digits.
public func hexadecimal<T: FixedWidthInteger & UnsignedInteger>(_ value: T) -> String {
  var digits: [UInt8] = []
  for i in (0..<(T.bitWidth / 4)).reversed() {
    let digit = UInt8(truncatingIfNeeded: value >> T(4 * i)) & 15
    digits.append(digit < 10 ? 0x30 + digit : 0x57 + digit)
  }
  return String(decoding: digits, as: UTF8.self)
}

/// A number of 0 or more without its decimals; at most 2^62.
func wholeNumber(_ value: Double) -> String { "\(Int64(min(max(value, 0), 0x1p62)))" }
