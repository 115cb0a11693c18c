# The release before is kept as binaries for this architecture.
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  magnum_add_system_test(rolling_upgrade TIMEOUT 900)
endif()
